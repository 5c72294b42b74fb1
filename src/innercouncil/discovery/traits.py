"""Habits a persona has more than the person's other modes: the measured ground under descriptions and prompts."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from innercouncil.discovery.label_features import COUNT_NAMES
from innercouncil.discovery.markers import MARKERS, QUESTION_TYPES

MIN_SHARE: Final = 0.06
MIN_LIFT: Final = 1.2
MIN_Z: Final = 2.33
"""One-sided 1%: about one habit in a hundred gets in by chance."""

BoolArray = npt.NDArray[np.bool_]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of prompts/persona_rules.toml."""

    feature: str
    section: str
    claim: str
    line: str
    dont: str | None = None


class Trait(NamedTuple):
    """A habit of a persona: `share` of its messages against `elsewhere`, and the rows that show it best."""

    rule: Rule
    share: float
    elsewhere: float
    z: float
    rows: tuple[int, ...]

    @property
    def lift(self) -> float:
        """How many times more frequent than elsewhere."""
        return self.share / max(self.elsewhere, 1e-3)


@cache
def rules() -> tuple[Rule, ...]:
    """All rules, in file order."""
    text = resources.files("innercouncil.prompts").joinpath("persona_rules.toml").read_text("utf-8")
    return tuple(msgspec.convert(row, Rule) for row in tomllib.loads(text)["rule"])


def habits(counts: npt.NDArray[np.float32], labels: Mapping[str, Sequence[str]]) -> dict[str, BoolArray]:
    """Feature name -> which messages show it.

    `counts` has shape (n, len(COUNT_NAMES)); `labels` holds n labels for each of `topic`, `act`, `tone`.
    """
    column = {name: counts[:, i] for i, name in enumerate(COUNT_NAMES)}
    words = np.expm1(column["words"])
    out: dict[str, BoolArray] = {}
    for field, values in labels.items():
        array = np.asarray(values)
        for value in sorted(set(values)):
            out[f"{field}:{value}"] = array == value
    for name in MARKERS:
        out[f"marker:{name}"] = column[f"marker_{name}"] > 0
    for name in QUESTION_TYPES:
        out[f"question:{name}"] = column[f"question_{name}"] > 0
    out["habit:bullets"] = column["bullets"] >= math.log1p(2)
    out["habit:several_lines"] = column["lines"] >= math.log1p(4)
    out["habit:one_line"] = (column["lines"] == 0) & (words < 15)
    out["habit:pastes"] = column["pasted_chars"] > math.log1p(200)
    out["habit:lower_case"] = (column["starts_lower"] > 0) & (column["capitals"] < 0.02)
    out["habit:exclaims"] = column["exclamations"] > 0
    out["habit:follows_up"] = (column["has_context"] > 0) & (column["first_message"] == 0)
    out["habit:opens"] = column["first_message"] > 0
    return out


def traits_of(
    member: BoolArray,
    assigned: BoolArray,
    shown: dict[str, BoolArray],
    centrality: npt.NDArray[np.float32],
    *,
    evidence: int = 6,
) -> tuple[list[Trait], list[Trait]]:
    """Traits of the messages `member` and their opposites (habits rarer here), strongest first, against the rest.

    `centrality` orders the evidence: larger is closer to the persona's centre. The evidence of an opposite are messages
    of the persona without the habit.
    """
    rest = assigned & ~member
    n, m = int(member.sum()), int(rest.sum())
    more: list[Trait] = []
    less: list[Trait] = []
    for rule in rules():
        if rule.feature not in shown:
            continue
        has = shown[rule.feature]
        a, b = int((has & member).sum()), int((has & rest).sum())
        share, elsewhere = a / max(n, 1), b / max(m, 1)
        pooled = (a + b) / max(n + m, 1)
        spread = math.sqrt(max(pooled * (1 - pooled) * (1 / max(n, 1) + 1 / max(m, 1)), 1e-12))
        z = (share - elsewhere) / spread if m else 0.0
        if share >= MIN_SHARE and ((z >= MIN_Z and share >= MIN_LIFT * elsewhere) or (m == 0 and share >= 0.25)):
            more.append(Trait(rule, share, elsewhere, z, _best(has & member, centrality, evidence)))
        elif rule.dont and z <= -2 * MIN_Z and share < 0.6 * elsewhere and elsewhere >= 0.1:
            less.append(Trait(rule, share, elsewhere, z, _best(~has & member, centrality, evidence)))
    strength = {id(t): t.z * math.sqrt(t.share) for t in more}
    return (
        sorted(more, key=lambda t: (-strength[id(t)], t.rule.feature)),
        sorted(less, key=lambda t: (t.z, t.rule.feature)),
    )


def _best(rows: BoolArray, centrality: npt.NDArray[np.float32], count: int) -> tuple[int, ...]:
    """The `count` most central of the rows marked; ties go to the earlier row."""
    where = np.flatnonzero(rows)
    return tuple(int(r) for r in where[np.lexsort((where, -centrality[where]))][:count])
