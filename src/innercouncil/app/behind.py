"""The sessions behind a figure of the dashboard: exactly those that it was counted over."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from innercouncil.app.dashboard import Figures
from innercouncil.evaluation.worth import by_session, majority
from innercouncil.model.council import SessionSummary
from innercouncil.model.errors import PersonaNotFoundError, UsageError
from innercouncil.model.ratings import Covariate, Judgement, Voters

Kind = Literal["board", "persona", "gauge", "pair", "removal", "seated", "worth"]
EYES: Final[dict[str, str]] = {"person": "in your eyes", "models": "in the models' eyes"}
BIASES: Final[dict[Covariate, str]] = {
    "length": "the length of an answer", "formatting": "its formatting", "position": "the place it is shown at",
    "own": "whose answer it is",
}  # fmt: skip
_PREFERRED: Final = {1: "the council better", 0: "alike", -1: "the baseline better"}
_PARTS: Final = {"alone": "the synthesizer alone", "samples": "plain samples"}


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure, by what it is about."""

    figure: Kind
    board: str = "models"
    """Of `board`, `persona` and `gauge`."""
    topic: str = ""
    """Of the same; empty: all topics."""
    slug: str = ""
    """Persona of `persona`, `pair`, `removal` and `seated`; name of a `gauge`."""
    other: str = ""
    """The second persona of a `pair`."""
    baseline: str = "alone"
    judge: str = "person"
    """Of `worth`: person or models."""


class BehindRow(msgspec.Struct, frozen=True):
    """One of the sessions."""

    session: SessionSummary
    said: str
    """What it says for the figure, in a few words."""


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the sessions behind a figure, newest first."""

    title: str
    note: str
    """What else there is to know about them; often empty."""
    sessions: list[BehindRow]
    next: str | None
    """`before` of the next page."""
    total: int


PAGE: Final = 200


class _Found(NamedTuple):
    title: str
    said: Mapping[str, str]
    """Session id -> what it says."""
    note: str = ""


def behind(figures: Figures, figure: Figure, *, before: str | None = None, limit: int = 30) -> Behind:
    """The sessions behind a figure. Raises UsageError for a figure there is not."""
    found = _found(figures, figure)
    page = figures.house.sessions.among(found.said, before=before, limit=limit)
    note = found.note
    if gone := len(found.said) - page.total:
        note = f"{note} {gone} more {'was' if gone == 1 else 'were'} deleted since.".strip()
    rows = [BehindRow(s, found.said[s.id]) for s in page.sessions]
    return Behind(title=found.title, note=note, sessions=rows, next=page.next, total=page.total)


def all_behind(figures: Figures, figure: Figure) -> Iterator[BehindRow]:
    """All of them, newest first. Raises UsageError for a figure there is not."""
    said = _found(figures, figure).said
    before: str | None = None
    while True:
        page = figures.house.sessions.among(said, before=before, limit=PAGE)
        yield from (BehindRow(s, said[s.id]) for s in page.sessions)
        if (before := page.next) is None:
            return


def _found(figures: Figures, figure: Figure) -> _Found:
    if figure.figure != "gauge":
        figure = msgspec.structs.replace(figure, slug=_slug(figures, figure.slug), other=_slug(figures, figure.other))
    return _FINDERS[figure.figure](figures, figure)


def _slug(figures: Figures, name: str) -> str:
    """The slug a persona sits under; one that was deleted is known by its sessions only."""
    with contextlib.suppress(PersonaNotFoundError):
        return figures.house.cards.get(name).slug
    return name


# --- boards ---


def _voters(figure: Figure) -> Voters:
    for voters in get_args(Voters):
        if voters == figure.board:
            return voters  # type: ignore[no-any-return]
    raise UsageError(f"There is no board {figure.board[:20]!r}; choose from: {', '.join(get_args(Voters))}.")


def _where(figure: Figure) -> str:
    return f"{EYES[figure.board]}, {f'on {figure.topic}' if figure.topic else 'all topics'}"


def _judged(figures: Figures, figure: Figure) -> Iterator[Judgement]:
    """The judgements of the figure's board that compare anything."""
    voters = _voters(figure)
    for j in figures.judgements():
        if j.board == voters and figure.topic in ("", j.topic) and len(_order(j)) > 1:
            yield j


def _order(j: Judgement) -> tuple[str, ...]:
    return j.shown or tuple(slug for tier in j.tiers for slug in tier)


def _board(figures: Figures, figure: Figure) -> _Found:
    names = figures.names()
    said: dict[str, str] = {}
    for j in _judged(figures, figure):
        first = " = ".join(names.get(slug, slug) for slug in j.tiers[0])
        said[j.question] = f"You put first: {first}" if j.board == "person" else ""
    where = _where(figure)
    return _Found(f"{where[0].upper()}{where[1:]}", said)


def _gauge(figures: Figures, figure: Figure) -> _Found:
    found = _board(figures, figure)
    if figure.slug not in BIASES:
        raise UsageError(f"There is no gauge {figure.slug[:20]!r}; choose from: {', '.join(BIASES)}.")
    return found._replace(
        title=f"How far the judges go by {BIASES[figure.slug]}: {_where(figure)}",
        note="A gauge is fitted to every vote of its board.",
    )


def _persona(figures: Figures, figure: Figure) -> _Found:
    counted: dict[str, Counter[int]] = {}
    for j in _judged(figures, figure):
        if outcomes := _outcomes(j, figure.slug):
            counted.setdefault(j.question, Counter()).update(outcomes)
    said = {q: f"won {c[1]}, tied {c[0]}, lost {c[-1]}" for q, c in counted.items()}
    return _Found(f"{_name(figures, figure.slug)} {_where(figure)}", said)


def _outcomes(j: Judgement, slug: str) -> list[int]:
    """Of this competitor against each other one on the ballot: 1, 0 or -1; two that were left unranked are not compared."""
    order = _order(j)
    if slug not in order:
        return []
    tier = {s: n for n, t in enumerate(j.tiers) for s in t}
    last = len(j.tiers)
    mine = tier.get(slug, last)
    theirs = [tier.get(s, last) for s in order if s != slug]
    return [(t > mine) - (t < mine) for t in theirs if min(t, mine) < last]


# --- twins ---


def _pair(figures: Figures, figure: Figure) -> _Found:
    both = {figure.slug, figure.other}
    title = " and ".join(_name(figures, slug) for slug in (figure.slug, figure.other))
    report = figures.twins().report
    if report is not None and report.model:
        told = f"The figure rests on answers that {report.model} gave for it; these are the sessions in which both answered."
        return _Found(title, _seated(figures, both), told)
    said = {b.session: "" for b in report.sessions if both <= set(b.compared)} if report else {}
    return _Found(title, said, "Sessions whose answers were compared when the twins were looked for.")


def _removal(figures: Figures, figure: Figure) -> _Found:
    report = figures.twins().report
    said = {b.session: "" for b in report.sessions if figure.slug in b.counted} if report else {}
    return _Found(f"Votes counted again without {_name(figures, figure.slug)}", said)


def _seat(figures: Figures, figure: Figure) -> _Found:
    told = "How it keeps to its prompt is measured on answers asked for it, with and without its prompt, not on these."
    return _Found(f"Where {_name(figures, figure.slug)} answered", _seated(figures, {figure.slug}), told)


def _seated(figures: Figures, slugs: set[str]) -> dict[str, str]:
    return {s.id: "" for s in figures.answered() if slugs <= set(s.seats.values())}


def _name(figures: Figures, slug: str) -> str:
    return figures.names().get(slug, slug[:80])


# --- worth ---


def _worth(figures: Figures, figure: Figure) -> _Found:
    if figure.baseline not in _PARTS or figure.judge not in get_args(Voters):
        raise UsageError("There is no such line; baseline is alone or samples, judge is person or models.")
    said = by_session(figures.worth_votes(figure.baseline, figure.judge), figure.baseline)
    judged = "you" if figure.judge == "person" else "models"
    title = f"The council against {_PARTS[figure.baseline]}, judged by {judged}"
    return _Found(title, {session: _summed(each) for session, each in said.items()})


def _summed(each: Sequence[int]) -> str:
    counted = _PREFERRED[majority(each)]
    if len(each) == 1:
        return counted
    told = ", ".join(f"{n} times {what}" for what, n in sorted(Counter(_PREFERRED[said] for said in each).items()))
    return f"{told}: counts as {counted}"


_FINDERS: Final[dict[Kind, Callable[[Figures, Figure], _Found]]] = {
    "board": _board, "persona": _persona, "gauge": _gauge, "pair": _pair, "removal": _removal, "seated": _seat,
    "worth": _worth,
}  # fmt: skip
