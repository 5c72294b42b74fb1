"""The ballot paper: who is shown what in which order, what may be written on it, and how it is read."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any, Final

import msgspec

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_ORDERS: Final = 360
"""Most orders a ballot spells out; with more answers only the best few are ranked."""
REASON_CHARS: Final = 240


def seating(seats: Sequence[int], seed: int) -> tuple[int, ...]:
    """The seats in an order drawn once a session: the circle that the voters' views are turned on."""
    order = sorted(seats)
    random.Random(f"seating:{seed}").shuffle(order)  # noqa: S311 - no secret, and it must be the same again
    return tuple(order)


def shown_to(circle: Sequence[int], voter: int) -> tuple[int, ...]:
    """The others' seats in the order `voter` sees them: the circle read on from the voter's own place.

    Over all voters every answer stands at every position equally often (a cyclic Latin square without its diagonal),
    so what the model likes about positions cancels in first order.
    """
    at = list(circle).index(voter)
    return tuple(circle[at + 1 :]) + tuple(circle[:at])


def with_own(others: Sequence[int], voter: int, draw: str) -> tuple[int, ...]:
    """`others` with the voter's own seat among them, at a place drawn from `draw`.

    It is the same place for all voters of a session, so that every answer still stands at every position once.
    """
    at = random.Random(f"own:{draw}").randrange(len(others) + 1)  # noqa: S311 - no secret, and it must be the same again
    return (*others[:at], voter, *others[at:])


def ranked(count: int) -> int:
    """How many of `count` answers a ballot ranks: all, or as many as `MAX_ORDERS` orders allow."""
    best = 1
    orders = 1
    for n in range(1, count + 1):
        orders *= count - n + 1
        if orders <= MAX_ORDERS:
            best = n
    return best


def ballot_schema(count: int) -> dict[str, Any]:
    """JSON Schema of a ballot over `count` answers: every valid order spelt out, so that no other can be written."""
    orders = [" > ".join(order) for order in itertools.permutations(LETTERS[:count], ranked(count))]
    return {
        "type": "object",
        "properties": {"reason": {"type": "string", "maxLength": REASON_CHARS}, "ranking": {"enum": orders}},
        "required": ["reason", "ranking"],
        "additionalProperties": False,
    }


class _Paper(msgspec.Struct):
    ranking: str | list[str]
    reason: str = ""


def read_ballot(text: str, shown: Sequence[int]) -> tuple[tuple[int, ...], str, str]:
    """(ranking as seats, reason, why it is invalid): exactly one of ranking and the last is empty.

    Only JSON of the asked shape counts. Free text that mentions letters is no vote.
    """
    start, end = text.find("{"), text.rfind("}")
    try:
        paper = msgspec.json.decode(text[start : end + 1].encode("utf-8", "replace"), type=_Paper)
    except (msgspec.MsgspecError, RecursionError):
        return (), "", "What it wrote is not a ballot."
    reason = " ".join(paper.reason.split())[:REASON_CHARS]
    marks = paper.ranking.split(">") if isinstance(paper.ranking, str) else paper.ranking
    letters = [m.strip().upper() for m in marks]
    if len(set(letters)) != len(letters):
        return (), reason, "It ranked an answer twice."
    if not letters or any(len(x) != 1 or x not in LETTERS[: len(shown)] for x in letters):
        return (), reason, "It ranked an answer that was not there."
    if len(letters) < ranked(len(shown)):
        return (), reason, "It left answers out."
    return tuple(shown[LETTERS.index(x)] for x in letters), reason, ""


def choice_schema(choices: Sequence[str]) -> dict[str, Any]:
    """JSON Schema for saying which choice an answer comes to."""
    return {
        "type": "object",
        "properties": {"choice": {"enum": [*choices, "none"]}},
        "required": ["choice"],
        "additionalProperties": False,
    }


def read_choice(text: str, choices: Sequence[str]) -> str | None:
    """The choice in a reply, None for "none" and for anything that is not one."""
    try:
        choice = msgspec.json.decode(text[text.find("{") : text.rfind("}") + 1].encode(), type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None
    return choice.get("choice") if choice.get("choice") in choices else None
