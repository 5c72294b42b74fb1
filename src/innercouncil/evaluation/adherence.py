"""Does a persona keep to its prompt, more than the model does without it, and does it still late in a conversation?

Marks are 1 for yes, 0 for no and not a number where an item did not apply or nobody judged. Questions, and conversations
for drift, are the units: marks of one are not independent. Intervals are Student's over the units; a pair of marks (for
shares: two of yes and two of no) is added beforehand, after Agresti & Min (2005, Statistics in Medicine 24:729) and Agresti
& Coull (1998, American Statistician 52:119), because units that all say the same would otherwise have no spread at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.evaluation.similarity import share
from innercouncil.model.adherence import AdherenceVerdict, DriftVerdict, ItemVerdict, Judge
from innercouncil.model.similarity import Estimated

MIN_QUESTIONS: Final = 5
"""With fewer questions there is no verdict."""
PASSES: Final = 0.9
"""Share of yes from which everyone passes an item, and of no from which nobody does."""
PRACTICAL: Final = 0.1
"""A persona that keeps to its prompt by less than this more than the model does without is no better."""
FADE: Final = 0.15
"""A fall that is surely less than this is none."""
POOLED_AT: Final = 0.25
CATCHES: Final = 8
"""Known items of each kind that are needed to tell whether a judge is any good."""
SAYS_YES: Final = 0.95

FloatArray = npt.NDArray[np.float64]


class Marks(NamedTuple):
    """n answers on m items: `marks` (n, m), and the unit (question or conversation) and turn each answer belongs to."""

    marks: FloatArray
    units: npt.NDArray[np.int_]
    turns: npt.NDArray[np.int_]


def of_units(marks: Marks, units: int) -> FloatArray:
    """(units, m) share of yes of the answers of each unit, nan where an item never applied."""
    return np.stack([_mean(marks.marks[marks.units == u]) for u in range(units)]) if units else marks.marks[:0]


def _mean(rows: FloatArray, axis: int = 0) -> FloatArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(rows, axis=axis)) if rows.size else np.full(rows.shape[1 - axis], np.nan)


def share_over(values: FloatArray, marks: float) -> Estimated | None:
    """Mean of shares over units with its interval; `marks` is the number of marks in each. None without units."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    return _interval(known, 4 / marks, 2 / marks, 2 / marks, (0.0, 1.0))


def change_over(values: FloatArray, pairs: float) -> Estimated | None:
    """The same of differences of shares, `pairs` the pairs of marks in each."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    return _interval(known, 2 / pairs, 0.0, 1 / pairs, (-1.0, 1.0))


def mean_over(values: FloatArray) -> Estimated:
    """The same of quantities that are no shares: nothing is added, nothing cut off."""
    return _interval(values, 0.0, 0.0, 0.0, (-np.inf, np.inf))


def _interval(values: FloatArray, units: float, total: float, squares: float, bounds: tuple[float, float]) -> Estimated:
    from scipy import stats

    n, value = len(values), float(values.mean())
    if n < 2:
        low, high = (value, value) if np.isinf(bounds[0]) else bounds
        return Estimated(round(value, 4), round(low, 4), round(high, 4))
    many = n + units
    middle = (float(values.sum()) + total) / many
    spread = max(float((values**2).sum()) + squares - many * middle**2, 0.0) / (many - 1)
    half = float(stats.t.ppf(0.975, n - 1)) * float(np.sqrt(spread / many))
    low, high = min(middle - half, value), max(middle + half, value)
    return Estimated(round(value, 4), round(max(low, bounds[0]), 4), round(min(high, bounds[1]), 4))


class Held(NamedTuple):
    """The persona's shares against the control's, and their difference, over the questions they have in common."""

    persona: Estimated | None
    control: Estimated | None
    difference: Estimated | None
    questions: int
    verdict: ItemVerdict


def compare_items(persona: Marks, control: Marks, questions: int) -> list[Held]:
    """Every item of a checklist."""
    mine, theirs = of_units(persona, questions), of_units(control, questions)
    each = max(1.0, len(persona.marks) / max(questions, 1))
    out = []
    for m in range(persona.marks.shape[1]):
        apart = mine[:, m] - theirs[:, m]
        both = int((~np.isnan(apart)).sum())
        shares = share_over(mine[:, m], each), share_over(theirs[:, m], each)
        difference = change_over(apart, each)
        out.append(Held(*shares, difference, both, _of_item(*shares, difference, both)))
    return out


def _of_item(
    persona: Estimated | None, control: Estimated | None, difference: Estimated | None, questions: int
) -> ItemVerdict:
    if persona is None or control is None or difference is None or questions < MIN_QUESTIONS:
        return "too seldom"
    if difference.low > 0:
        return "tells apart"
    if difference.high < 0:
        return "below control"
    if min(persona.value, control.value) >= PASSES:
        return "everyone passes"
    return "nobody passes" if max(persona.value, control.value) <= 1 - PASSES else "not sure"


def compare(
    persona: Marks, control: Marks, questions: int
) -> tuple[Estimated | None, Estimated | None, Estimated | None]:
    """Shares over all items, and their difference over items that applied to both, mean over questions."""
    mine, theirs = of_units(persona, questions), of_units(control, questions)
    each = max(1.0, len(persona.marks) / max(questions, 1))
    marks = max(1.0, each * float(np.mean((~np.isnan(mine)).sum(axis=1)))) if mine.size else 1.0
    apart = mine - theirs
    pairs = max(1.0, each * float(np.mean((~np.isnan(apart)).sum(axis=1)))) if mine.size else 1.0
    return share_over(_mean(mine, 1), marks), share_over(_mean(theirs, 1), marks), change_over(_mean(apart, 1), pairs)


def verdict(
    name: str, kept: Estimated | None, control: Estimated | None, difference: Estimated | None, questions: int
) -> tuple[AdherenceVerdict, str]:
    """Whether a persona keeps to its prompt, in a word and in words."""
    if kept is None or control is None or difference is None:
        return "not judged", f"Nothing in the answers of {name} could be judged."
    told = f"yes to {_percent(kept.value)} of what applied, {_percent(control.value)} without the persona"
    if questions < MIN_QUESTIONS:
        return "not sure", f"Too few questions for a verdict on {name}: {told}."
    if difference.low > 0:
        return "keeps", f"{name} keeps to its prompt: {told}."
    if difference.high < PRACTICAL:
        high = min(kept.value, control.value) >= PASSES
        why = "the model does what the prompt asks for anyway" if high else "the prompt changes too little"
        return "no better", f"{name} is no better than the model without it, {why}: {told}."
    return "not sure", f"Whether {name} keeps to its prompt cannot be told yet: {told}; ask more questions."


class Faded(NamedTuple):
    """Shares early and late in conversations, and their difference."""

    early: float | None
    late: float | None
    change: Estimated | None
    verdict: DriftVerdict
    words: str


def halves(turns: int) -> tuple[range, range]:
    """The follow-ups of the early half and of the late one; the opening, and a middle one, are in neither.

    >>> halves(5)
    (range(1, 3), range(4, 6))
    """
    return range(1, turns // 2 + 1), range(turns - turns // 2 + 1, turns + 1)


def drift(name: str, marks: Marks, conversations: int, turns: int) -> Faded:
    """Late less early: every follow-up of the early half against its counterpart in the late half of its conversation.

    A pair is the mean over the items that applied to both. Which follow-up comes when is drawn by lot for every
    conversation, so that late ones are not of another kind than early ones. Pairs are the units unless those of one
    conversation are alike (F test at 25%); then conversations are ("sometimes pooling": Bancroft & Han 1983, JASA 78:981).
    """
    early, late = (_at(marks, conversations, half) for half in halves(turns))
    pairs = _mean(late - early, 2)
    change = _pooled(pairs, max(1.0, float(np.mean((~np.isnan(late - early)).sum(axis=2)))) if pairs.size else 1.0)
    if change is None:
        return Faded(None, None, None, "not judged", f"Nothing {name} said in conversations could be judged.")
    both = ~np.isnan(late - early)
    shares = [float(np.nanmean(_mean(np.where(both, half, np.nan), 2))) for half in (early, late)]
    told = f"yes to {_percent(shares[0])} early and {_percent(shares[1])} late"
    found: DriftVerdict = "not sure"
    words = f"Whether {name} fades in long conversations cannot be told yet: {told}; hold more of them."
    if change.high < 0:
        found, words = "fades", f"{name} fades in long conversations: {told}."
    elif change.low > -FADE:
        found, words = "keeps", f"{name} keeps to its prompt in long conversations: {told}."
    return Faded(round(shares[0], 4), round(shares[1], 4), change, found, words)


def _at(marks: Marks, conversations: int, turns: range) -> FloatArray:
    """(conversations, turns, m) marks of these turns, nan where a turn was never said."""
    out = np.full((conversations, len(turns), marks.marks.shape[1]), np.nan)
    for row, unit, turn in zip(marks.marks, marks.units, marks.turns, strict=True):
        if turn in turns:
            out[unit, turns.index(turn)] = row
    return out


def _pooled(pairs: FloatArray, marks: float) -> Estimated | None:
    """Mean change over pairs (conversations, pairs), with the interval of the units they turn out to have."""
    from scipy import stats

    known = [row[~np.isnan(row)] for row in pairs]
    known = [row for row in known if len(row)]
    everything = np.concatenate(known) if known else np.zeros(0)
    n, groups = len(everything), len(known)
    if groups < 2 or n == groups:
        return change_over(np.array([row.mean() for row in known]), marks * n / max(groups, 1))
    between = sum(len(row) * (row.mean() - everything.mean()) ** 2 for row in known) / (groups - 1)
    within = sum(float(((row - row.mean()) ** 2).sum()) for row in known) / (n - groups)
    if between > within * float(stats.f.ppf(1 - POOLED_AT, groups - 1, n - groups)):
        return change_over(np.array([row.mean() for row in known]), marks * n / groups)
    return change_over(everything, marks)


class Catch(NamedTuple):
    """A known item in a judge's call: whether its answer is yes, and whether the judge said so."""

    yes: bool
    right: bool


def judge_of(model: str, yes: int, no: int, catches: Sequence[Catch], judged: int, unjudged: int) -> Judge:
    """Whether a judge can be used: by the known items it gets more than half of either kind right, for sure.

    `yes` and `no` are counts over the checklists' items.
    """
    found = share(c.right for c in catches if c.yes)
    denied = share(c.right for c in catches if not c.yes)
    enough = min(sum(c.yes for c in catches), sum(not c.yes for c in catches)) >= CATCHES
    usable = enough and min(found.low, denied.low) > 0.5
    says_yes = yes / (yes + no) if yes + no else 0.0
    return Judge(
        model=model, usable=usable, judged=judged, unjudged=unjudged, says_yes=round(says_yes, 4), found=found,
        denied=denied, words=_of_judge(enough, usable, says_yes, found, denied),
    )  # fmt: skip


def _of_judge(enough: bool, usable: bool, says_yes: float, found: Estimated, denied: Estimated) -> str:
    known = f"of the known items it says yes to {_percent(found.value)} that are so and no to {_percent(denied.value)} that are not"
    if not enough:
        return "The judge cannot be used: it answered too few calls to tell whether it reads them."
    if usable:
        every = f" It says yes to {_percent(says_yes)} of everything else." if says_yes >= SAYS_YES else ""
        return f"The judge can be used: {known}.{every}"
    if denied.value < 0.5 <= found.value:
        return f"The judge cannot be used: it says yes to everything ({known})."
    if found.value < 0.5 <= denied.value:
        return f"The judge cannot be used: it says no to everything ({known})."
    return f"The judge cannot be used: it does not read what it judges ({known})."


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
