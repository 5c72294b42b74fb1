"""From ballots to a tally.

Normalised Borda (Borda 1781; each ballot's points divided by the answers it compared, self-votes never counted) is the
default; Copeland's pairwise wins break ties and can be chosen; plurality decides closed questions.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from innercouncil.model.council import Answer, Ballot, CouncilOptions, Part, Standing, Tally, TallyMethod

Scores = dict[int, float]


def places(ballot: Ballot) -> dict[int, float]:
    """Seat -> share of the other answers on the ballot it was put before, 0 (last) to 1 (first); ties share the mean."""
    last = len(ballot.shown) - 1
    if last < 1:
        return {}
    out = {seat: (last - at) / last for at, seat in enumerate(ballot.ranking)}
    rest = [s for s in ballot.shown if s not in out]
    mean = (len(rest) - 1) / 2 / last if rest else 0.0
    return out | dict.fromkeys(rest, mean)


def without_own(ballot: Ballot) -> Ballot:
    """The ballot as far as it speaks of others; a voter's own answer is let in for measuring only."""
    if ballot.voter not in ballot.shown:
        return ballot
    shown, ranking = (tuple(s for s in told if s != ballot.voter) for told in (ballot.shown, ballot.ranking))
    return msgspec.structs.replace(ballot, shown=shown, ranking=ranking)


def borda(seats: Sequence[int], ballots: Sequence[Ballot]) -> Scores:
    """Mean of `places` over the ballots an answer was on; one half where it was on none."""
    given = {s: [p[s] for p in map(places, ballots) if s in p] for s in seats}
    return {s: statistics.fmean(v) if v else 0.5 for s, v in given.items()}


def copeland(seats: Sequence[int], ballots: Sequence[Ballot]) -> Scores:
    """Share of the other answers that it beats on more ballots than it loses; a draw is half a win."""
    if len(seats) < 2:
        return dict.fromkeys(seats, 0.5)
    wins: Counter[tuple[int, int]] = Counter()
    for place in map(places, ballots):
        for a in place:
            for b in place:
                wins[a, b] += place[a] > place[b]
    out = {}
    for a in seats:
        duels = [(wins[a, b], wins[b, a]) for b in seats if b != a]
        out[a] = sum(1.0 if w > lost else 0.5 if w == lost else 0.0 for w, lost in duels) / len(duels)
    return out


def plurality(seats: Sequence[int], ballots: Sequence[Ballot]) -> Scores:
    """Share of the ballots it was on that put it first."""
    out = {}
    for s in seats:
        on = [b for b in ballots if b.ranking and s in b.shown]
        out[s] = sum(b.ranking[0] == s for b in on) / len(on) if on else 0.5
    return out


METHODS: Final[dict[TallyMethod, Callable[[Sequence[int], Sequence[Ballot]], Scores]]] = {
    "borda": borda, "copeland": copeland, "plurality": plurality,
}  # fmt: skip


def count(part: Part, answers: Sequence[Answer], ballots: Sequence[Ballot], options: CouncilOptions) -> Tally:
    """Count the ballots over the answers that stand.

    With choices on the ballots (a closed question) the choice that most answers come to wins, and the votes order the
    answers within it. `best` are the seats the synthesis is built on, `dissent` the strongest other view.
    """
    seats = [a.seat for a in answers]
    cast = [b for b in map(without_own, ballots) if b.ranking]
    scores = METHODS[options.tally](seats, cast)
    duels = copeland(seats, cast)
    chosen = {b.voter: b.choice for b in ballots if b.choice is not None and b.voter in seats}
    tallied = Counter(chosen.values())
    leading = _leading(tallied)
    spread = _spread(seats, cast)
    firsts = Counter(b.ranking[0] for b in cast)
    order = sorted(seats, key=lambda s: (-(chosen.get(s) in leading), -scores[s], -duels[s], s))
    front = [s for s in order if chosen.get(s) in leading] if leading else order
    top = max((scores[s] for s in front), default=0.0)
    winners = tuple(s for s in front if scores[s] >= top - options.tie_band - 1e-9)
    standings = tuple(
        Standing(
            seat=s, score=round(scores[s], 6), ballots=sum(s in b.shown for b in cast), firsts=firsts[s],
            spread=round(spread[s], 6), place=1 if s in winners else order.index(s) + 1, choice=chosen.get(s),
        )
        for s in (*winners, *(s for s in order if s not in winners))
    )  # fmt: skip
    best = tuple(s.seat for s in standings)[: options.best]
    dissent = _dissent(standings, best, chosen, leading)
    return Tally(
        part=part, method="plurality" if tallied else options.tally, standings=standings, winners=winners, best=best,
        dissent=dissent, choices=dict(sorted(tallied.items(), key=lambda kv: (-kv[1], kv[0]))),
        abstentions=len(ballots) - len(cast), note=_note(seats, cast, tallied, leading, winners),
    )  # fmt: skip


def _leading(tallied: Mapping[str, int]) -> frozenset[str | None]:
    most = max(tallied.values(), default=0)
    return frozenset(c for c, n in tallied.items() if n == most)


def _spread(seats: Sequence[int], cast: Sequence[Ballot]) -> dict[int, float]:
    given = {s: [p[s] for p in map(places, cast) if s in p] for s in seats}
    return {s: statistics.pstdev(v) if len(v) > 1 else 0.0 for s, v in given.items()}


def _dissent(
    standings: Sequence[Standing], best: Sequence[int], chosen: Mapping[int, str | None], leading: frozenset[str | None]
) -> int | None:
    """The answer most worth hearing against the winners: against the winning choice if there is one; otherwise, among
    those that did not win, the one that some voters put first, then the one they disagree most about.
    """
    if leading:
        against = [s for s in standings if chosen.get(s.seat) is not None and chosen.get(s.seat) not in leading]
    else:
        against = [s for s in standings if s.seat not in best] or [s for s in standings if s.place > 1 and s.firsts]
    ranked = sorted(against, key=lambda s: (-s.firsts, -s.spread, -s.score, s.seat))
    return ranked[0].seat if ranked else None


def _note(
    seats: Sequence[int], cast: Sequence[Ballot], tallied: Mapping[str, int], leading: frozenset[str | None],
    winners: Sequence[int],
) -> str:  # fmt: skip
    if tallied:
        names = " and ".join(sorted(str(c) for c in leading))
        return f"Closed question: {names} {'lead' if len(leading) > 1 else 'leads'} by plurality of the answers."
    if len(seats) < 3:
        return "Fewer than three answers stand: nobody could compare two others, so there was no vote."
    if not cast:
        return "Every voter abstained: all answers count the same."
    if len(winners) == len(seats):
        return "All answers are tied."
    return ""
