"""Where a persona's adapter stands: what its gates say, whether it is seated, what blind tests against the prompt came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from innercouncil.app.ab_tests import WITH_ADAPTER, VariantSpec, bundled_questions, start_test, words_of
from innercouncil.app.tune_adapters import adapter_of, prompt_digest, read_gates
from innercouncil.evaluation.ab_test import judge
from innercouncil.model.ab import AbOptions, AbTest, State
from innercouncil.model.card import SeatedAdapter
from innercouncil.model.errors import UsageError
from innercouncil.model.gates import GateReport
from innercouncil.store.ab_tests import AbStore
from innercouncil.tuning.gates import verdict_of

if TYPE_CHECKING:
    from innercouncil.app.council import House

NAME_CHARS: Final = 40


class AdapterTest(msgspec.Struct, frozen=True, kw_only=True):
    """A blind test of an adapter against the prompt alone."""

    name: str
    words: str
    """Its verdict as a sentence."""
    state: State
    better: bool | None
    """Whether the adapter won; None while nobody has."""


class AdapterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A persona's adapter."""

    name: str
    """Empty: none was trained."""
    base: str
    licence: str
    """Of the base."""
    gates: GateReport | None
    """None where they were not run on it."""
    verdict: str
    """What the gates say, as a sentence."""
    seated: SeatedAdapter | None
    """What the persona speaks with now, which may be an earlier training."""
    notes: tuple[str, ...]
    tests: tuple[AdapterTest, ...]


def adapter_status(house: House, persona: str) -> AdapterStatus:
    """Where the adapter of a persona of the council stands. Raises PersonaNotFoundError."""
    present = house.cards.get(persona)
    card = present.card
    try:
        adapter = adapter_of(house, persona)
    except UsageError:
        lost = ("The adapter it speaks with is not there any more; take it away.",) if card.adapter else ()
        return AdapterStatus(
            name="", base="", licence="", gates=None, verdict="", seated=card.adapter, notes=lost, tests=()
        )
    gates = read_gates(adapter)
    notes = []
    if gates is not None and gates.prompt_sha256 != prompt_digest(card.system):
        notes.append("The prompt was changed after the gates were run.")
    if card.adapter is not None and card.adapter.sha256 != adapter.sha256:
        notes.append("It was trained anew since it was seated: run the gates and seat it again, or take it away.")
    return AdapterStatus(
        name=adapter.name, base=adapter.card.base, licence=adapter.card.base_licence, gates=gates,
        verdict=verdict_of(gates) if gates else "Its gates were not run yet.", seated=card.adapter,
        notes=(*notes, *(gates.notes if gates else ())), tests=_tests(house, present.slug, adapter.name),
    )  # fmt: skip


def start_adapter_test(house: House, persona: str) -> AbTest:
    """Begin a blind test of a persona's adapter against its prompt alone, on the bundled questions. Raises UsageError."""
    adapter = adapter_of(house, persona)
    taken = {t.name for t in AbStore(house.database).all()}
    stem = f"adapter-{adapter.sha256[:6]}-{adapter.slug}"[: NAME_CHARS - 3].rstrip("-")
    name = next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, 100))) if n not in taken)
    sides = VariantSpec(persona=persona), VariantSpec(persona=persona + WITH_ADAPTER)
    return start_test(house, name, *sides, bundled_questions(), AbOptions())


def _tests(house: House, persona: str, adapter: str) -> tuple[AdapterTest, ...]:
    """Tests of exactly this adapter against a prompt of the same persona alone, newest first."""
    found = []
    for test in AbStore(house.database).all():
        sides = {"a": test.a, "b": test.b}
        speaks = {side: [(w.slug, w.adapter) for w in v.workers] for side, v in sides.items() if v.kind == "persona"}
        mine = next((side for side, who in speaks.items() if who == [(persona, adapter)]), None)
        if mine is None or speaks.get("b" if mine == "a" else "a") != [(persona, None)]:
            continue
        trials = AbStore(house.database).trials(test.name)
        verdict = judge([t.outcome for t in trials if t.outcome is not None], test.options)
        state = verdict.state
        better = state == mine if state in ("a", "b") else None
        words = (
            words_of(test, verdict)
            if all(t.choice for t in trials)
            else "A question waits for your vote; the verdict is told after it."
        )
        found.append(AdapterTest(name=test.name, words=words, state=state, better=better))
    return tuple(found)
