"""From blind judgements to a verdict: is the council's answer preferred, and by enough to pay for?

Evidence and interval are those of ab_test: they hold at whatever moment one looks, so a meter may be watched. They take
trials that are independent, so a session is one, however many judged it: its judges see the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from innercouncil.evaluation.ab_test import confidence_sequence, e_value
from innercouncil.model.council import Part
from innercouncil.model.worth import PERSON, Contest, Verdict, WorthVote

ALPHA: Final = 0.05
PRACTICAL: Final = 0.6
"""A council preferred in fewer of the decided sessions is not worth several times the cost."""
FEW: Final = 20
"""Ties from which mostly ties say something."""
NAMES: Final[dict[Part, str]] = {
    "council": "the council", "alone": "the synthesizer alone", "samples": "plain samples of the model",
}  # fmt: skip


class Count(NamedTuple):
    """Sessions of the council against a baseline."""

    wins: int
    losses: int
    ties: int
    judgements: int
    """That these sessions rest on: one of each judge of each."""


def count(votes: Iterable[WorthVote], baseline: Part) -> Count:
    """The sessions whose votes hold both the council's answer and the baseline's, each by the majority of its judges."""
    said = by_session(votes, baseline)
    outcomes = [majority(each) for each in said.values()]
    return Count(outcomes.count(1), outcomes.count(-1), outcomes.count(0), sum(map(len, said.values())))


def by_session(votes: Iterable[WorthVote], baseline: str) -> dict[str, list[int]]:
    """Of each session the last word of each of its judges: 1 for the council, -1 for the baseline, 0 for alike."""
    last = {(v.session, v.judge): said for v in votes if (said := _outcome(v, baseline)) is not None}
    out: dict[str, list[int]] = {}
    for (session, _), said in last.items():
        out.setdefault(session, []).append(said)
    return out


def majority(said: Sequence[int]) -> int:
    """What more than half of the judges of a session say, alike where they are split.

    >>> majority([1, 1, -1]), majority([1, -1]), majority([1, 0, 0])
    (1, 0, 0)
    """
    return next((outcome for outcome in (1, -1) if 2 * said.count(outcome) > len(said)), 0)


def _outcome(vote: WorthVote, baseline: str) -> int | None:
    place: dict[str, int] = {part: n for n, tier in enumerate(vote.tiers) for part in tier}
    if "council" not in place or baseline not in place:
        return None
    ours, theirs = place["council"], place[baseline]
    return int(ours < theirs) - int(ours > theirs)


def contests(votes: Sequence[WorthVote]) -> tuple[Contest, ...]:
    """Every baseline by the person and by models, as far as there is a judgement."""
    judges: tuple[tuple[Literal["person", "models"], Callable[[WorthVote], bool]], ...] = (
        ("person", lambda v: v.judge == PERSON), ("models", lambda v: v.judge != PERSON),
    )  # fmt: skip
    baselines: tuple[Part, ...] = ("alone", "samples")
    found = [
        contest(count(filter(is_kind, votes), baseline), baseline, judge)
        for judge, is_kind in judges
        for baseline in baselines
    ]
    return tuple(c for c in found if c.wins + c.losses + c.ties)


def contest(c: Count, baseline: Part, judge: Literal["person", "models"]) -> Contest:
    """The verdict on one baseline."""
    decided = c.wins + c.losses
    low, high = confidence_sequence(c.wins, c.losses, ALPHA)
    evidence = e_value(c.wins, c.losses)
    share = c.wins / decided if decided else 0.5
    verdict, why = _verdict(c, share, high, evidence)
    words = f"{why}: {c.wins} for the council, {c.losses} for {NAMES[baseline]}, {c.ties} alike"
    found = Contest(
        baseline=baseline, judge=judge, wins=c.wins, losses=c.losses, ties=c.ties, judgements=c.judgements, share=round(share, 4), low=round(low, 4), high=round(high, 4),
        evidence=round(evidence, 4), verdict=verdict, words=words,
    )  # fmt: skip
    return msgspec.structs.replace(found, words=f"{words}, of {found.basis}")


def _verdict(c: Count, share: float, high: float, evidence: float) -> tuple[Verdict, str]:
    if evidence >= 1 / ALPHA and share > 0.5:
        return "yes", "The council is preferred"
    if evidence >= 1 / ALPHA:
        return "no", "The baseline is preferred"
    if high < PRACTICAL:
        return "no", f"The council is preferred in {high:.0%} at best, too few for what it costs"
    if c.ties >= FEW and c.ties > 3 * (c.wins + c.losses):
        return "no", "Nearly always there is no difference to be seen"
    return "not known yet", "Not enough judgements yet"


def overall(found: Sequence[Contest]) -> tuple[Verdict, str]:
    """One verdict: the person's word counts before the models'; every baseline has to be beaten.

    Raises nothing; without judgements nothing is known.
    """
    mine = [c for c in found if c.judge == "person"] or list(found)
    whose = "" if not mine or mine[0].judge == "person" else " by models' judgement, not yours"
    lost = [c for c in mine if c.verdict == "no"]
    if lost:
        return "no", f"No{whose}, measured against {' and '.join(NAMES[c.baseline] for c in lost)}."
    if mine and all(c.verdict == "yes" for c in mine):
        return "yes", f"Yes{whose}, measured against {' and '.join(NAMES[c.baseline] for c in mine)}."
    return "not known yet", "Not known yet: judge more sessions blindly."
