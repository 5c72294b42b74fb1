"""From blind judgements to a verdict: is the council's answer preferred, and by enough to pay for?

Evidence and interval are those of ab_test: they hold at whatever moment one looks, so a meter may be watched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple

from innercouncil.evaluation.ab_test import confidence_sequence, e_value
from innercouncil.model.council import Part
from innercouncil.model.worth import PERSON, Contest, Verdict, WorthVote

ALPHA: Final = 0.05
PRACTICAL: Final = 0.6
"""A council preferred in fewer of the decided sessions is not worth several times the cost."""
FEW: Final = 20
"""Judgements from which mostly ties say something."""
NAMES: Final[dict[Part, str]] = {
    "council": "the council", "alone": "the synthesizer alone", "samples": "plain samples of the model",
}  # fmt: skip


class Count(NamedTuple):
    """Of the council against a baseline."""

    wins: int
    losses: int
    ties: int


def count(votes: Iterable[WorthVote], baseline: Part) -> Count:
    """Outcomes of the votes that hold both the council's answer and the baseline's; the last one of a judge on a session counts."""
    last = {(v.session, v.judge): said for v in votes if (said := _outcome(v, baseline)) is not None}
    outcomes = list(last.values())
    return Count(outcomes.count(1), outcomes.count(-1), outcomes.count(0))


def _outcome(vote: WorthVote, baseline: Part) -> int | None:
    place = {part: n for n, tier in enumerate(vote.tiers) for part in tier}
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
    return Contest(
        baseline=baseline, judge=judge, wins=c.wins, losses=c.losses, ties=c.ties, share=round(share, 4), low=round(low, 4), high=round(high, 4),
        evidence=round(evidence, 4), verdict=verdict, words=words,
    )  # fmt: skip


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
