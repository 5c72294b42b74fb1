"""From votes to rows for DPO and KTO, and from their files to the facts a plan needs.

What is right for a persona's adapter: it is to give the answers the person preferred, in its own voice. So what is to become
likelier is always an answer of the persona itself. Where it lost, another persona's answer must not be taught to it; that
is a row for KTO alone (its own answer, not liked). Where it won, the answer it won against is the rejected one: its
own other answer where there is one, because then only the quality differs and not the voice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from innercouncil.model.duplicates import near_key
from innercouncil.model.errors import UsageError
from innercouncil.model.ports import ChatTurn
from innercouncil.model.preferences import DpoRow, KtoRow, PreferenceKind, VoteSource
from innercouncil.model.tokens import estimate_tokens
from innercouncil.model.training import DataFacts

HELD_OUT: Final = 0.15
MARKS: Final = 6
"""Tokens of a chat template around a message, about."""


class Voted(NamedTuple):
    """An answer that was voted on."""

    tier: int
    """0 is the best; equal ones are tied."""
    mine: bool
    """Whether the persona gave it."""
    text: str
    whole: bool
    """Neither cut off nor with words to the judges in it."""


class Vote(NamedTuple):
    """A vote of the person on the answers to one question."""

    question: str
    answers: tuple[Voted, ...]
    source: VoteSource


def pair_of(vote: Vote) -> tuple[Voted, Voted] | str:
    """The preferred answer of the persona and the one it was put before, or in words why there is no such pair.

    One pair a vote, so that no question counts more than another: the nearest one it was put before.
    """
    mine = [a for a in vote.answers if a.mine]
    if not mine:
        return "the persona had no answer in it"
    best = min(mine, key=lambda a: a.tier)
    below = [a for a in vote.answers if a.tier > best.tier]
    if not below:
        lost = any(a.tier < best.tier for a in vote.answers)
        return "the persona's answer lost" if lost else "all answers were tied"
    rejected = min(below, key=lambda a: (not a.mine, a.tier))
    if not best.whole or not rejected.whole:
        return "an answer was cut off, or spoke to the judges"
    return best, rejected


def labels_of(vote: Vote) -> list[tuple[Voted, bool]] | str:
    """The persona's answers with whether they were liked: first of all, or last of all. Or in words why there is none."""
    mine = [a for a in vote.answers if a.mine]
    if not mine:
        return "the persona had no answer in it"
    last = max(a.tier for a in vote.answers)
    if last == 0:
        return "all answers were tied"
    out = [(a, a.tier == 0) for a in mine if a.tier in (0, last) and a.whole]
    return out or "the persona's answer was neither first nor last, or cut off"


def is_held_out(question: str, share: float, seed: int) -> bool:
    """Whether all rows of a question are held out: by a digest of it, so that later votes on it fall on the same side."""
    digest = hashlib.sha256(f"{seed}\x00".encode() + near_key(question)).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def read_preferences(path: Path) -> tuple[PreferenceKind, list[DpoRow | KtoRow], str]:
    """Kind, rows and SHA-256 of a file of preferences. Raises UsageError that names the line and never its text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror or type(error).__name__}); make it with `innercouncil tune preferences`."
        ) from None
    lines = [(n, line) for n, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    kind: PreferenceKind = "kto" if lines and b'"label"' in lines[0][1] else "dpo"
    decode: Any = msgspec.json.Decoder(KtoRow if kind == "kto" else DpoRow).decode
    rows: list[DpoRow | KtoRow] = []
    for number, line in lines:
        try:
            row = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            wanted = "prompt, completion and label" if kind == "kto" else "prompt, chosen and rejected"
            raise UsageError(
                f"{path}, line {number}, is not an object with {wanted}; mend or remove that line."
            ) from None
        rows.append(row)
    if not rows:
        raise UsageError(f"{path} holds no rows; vote on some answers, and run `innercouncil tune preferences` again.")
    return kind, rows, hashlib.sha256(data).hexdigest()


def preference_facts(path: Path) -> tuple[PreferenceKind, DataFacts]:
    """What a plan needs to know of a file of preferences. Raises UsageError."""
    kind, rows, digest = read_preferences(path)
    lengths = [_tokens(r.prompt) + max(map(_tokens, _endings(r))) for r in rows]
    total = sum(len(_endings(r)) * _tokens(r.prompt) + sum(map(_tokens, _endings(r))) for r in rows)
    return kind, DataFacts(rows=len(rows), tokens=total, longest=max(lengths), digest=digest)


def _endings(row: DpoRow | KtoRow) -> list[tuple[ChatTurn, ...]]:
    return [row.completion] if isinstance(row, KtoRow) else [row.chosen, row.rejected]


def _tokens(turns: Sequence[ChatTurn]) -> int:
    return sum(estimate_tokens(t.content) + MARKS for t in turns)
