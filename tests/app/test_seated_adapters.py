"""Adapters in the council: seated after their gates, answering with the real llama.cpp, tested blind, taken away again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from innercouncil.app import ab_tests
from innercouncil.app.ab_tests import VariantSpec
from innercouncil.app.council import House
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.tune_adapters import adapter_of, digest_of, prompt_digest, seat_adapter, unseat_adapter
from innercouncil.app.tune_card import GATES
from innercouncil.app.tune_status import adapter_status, start_adapter_test
from innercouncil.app.tune_watch import find_card
from innercouncil.model.ab import AbOptions
from innercouncil.model.card import PersonaCard
from innercouncil.model.council import CouncilOptions, SessionRecord
from innercouncil.model.errors import UsageError
from innercouncil.model.gates import Gate, GateReport
from innercouncil.store.workspace import Workspace
from tiny_adapter import row, trained, write_adapter
from tiny_model import build_tiny_model

T = TypeVar("T")
NAMES = ("Mender", "Doubter")
"""Two, so that nobody has to vote."""


def system(name: str) -> str:
    return f"You are the {name}."


def furnished(folder: Path, *, passed: bool = True) -> House:
    """Two personas, a tiny model, and an adapter for the first one whose gates were run."""
    (folder / "data").mkdir(parents=True)
    model = build_tiny_model(folder / "tiny.gguf", ending=4.0)
    loras = trained(folder / "data", "mender", [row("q", "a b")], [])
    house = House(Workspace(folder / "data"))
    for name in NAMES:
        house.cards.add(PersonaCard(name=name, system=system(name)), name.lower(), "created")
    house.backends.change(CouncilSettings(worker=str(model), lite=True, context_tokens=2048, slots=3))
    adapter = adapter_of(house, "mender")
    report = GateReport(
        adapter=adapter.name, sha256=adapter.sha256, base=model.name, base_sha256=digest_of(house.database, model),
        prompt_sha256=prompt_digest(system("Mender")), data_sha256="", seed=0, passed=passed,
        gates=(Gate(name="privacy", outcome="pass" if passed else "fail", words="Told."),),
    )  # fmt: skip
    (loras / GATES).write_bytes(msgspec.json.encode(report))
    return house


def run(house: House, work: Callable[[], Awaitable[T]]) -> T:
    async def whole() -> T:
        try:
            return await work()
        finally:
            await house.close()

    return asyncio.run(whole())


OPTIONS = CouncilOptions(answer_tokens=24, ballot_tokens=64, synthesis_tokens=24, temperature=0.0, in_turn=True, context_tokens=2048)  # fmt: skip


async def asked(house: House, question: str = "What first?", **more: Any) -> SessionRecord:
    return await house.wait(await house.ask(question, options=OPTIONS, **more))


def texts(record: SessionRecord) -> dict[str, str]:
    slugs = {w.seat: w.slug for w in record.council.workers}
    return {slugs[a.seat]: a.text for a in record.answers if a.part == "council"}


def test_a_seated_adapter_answers_for_its_persona_alone_and_goes_again(tmp_path: Path) -> None:
    house = furnished(tmp_path)

    async def work() -> None:
        before = await asked(house)
        seated = await seat_adapter(house, "mender")
        assert seated.card.adapter is not None
        during = await asked(house)
        assert [w.adapter for w in during.council.workers] == [seated.card.adapter.name, None]
        assert texts(during)["mender"] != texts(before)["mender"]
        assert {s: t for s, t in texts(during).items() if s != "mender"} == {s: t for s, t in texts(before).items() if s != "mender"}  # fmt: skip
        model, adapter = await house.speaker("mender")
        assert (model.name, adapter) == ("tiny", seated.card.adapter.name)
        unseat_adapter(house, "mender")
        assert texts(await asked(house)) == texts(before)
        assert [v.reason for v in house.cards.versions("mender")] == ["edited", "edited", "created"]
        with pytest.raises(UsageError, match="prompt alone already"):
            unseat_adapter(house, "mender")

    run(house, work)


def test_a_session_goes_on_with_the_adapter_it_began_with(tmp_path: Path) -> None:
    house = furnished(tmp_path)

    async def work() -> None:
        await seat_adapter(house, "mender")
        first = await asked(house, personas=["mender", "doubter"])
        unseat_adapter(house, "mender")
        await house.retry(first.id, 0)
        assert texts(await house.wait(first.id)) == texts(first)

    run(house, work)


def test_an_adapter_whose_gates_say_no_is_seated_only_with_a_reason(tmp_path: Path) -> None:
    house = furnished(tmp_path, passed=False)
    folder = tmp_path / "loras" / "persona_mender"

    async def work() -> None:
        with pytest.raises(UsageError, match="because of: privacy"):
            await seat_adapter(house, "mender")
        assert house.cards.get("mender").card.adapter is None
        with pytest.raises(UsageError, match="because of: privacy"):
            ab_tests.variant_of(house, VariantSpec(persona="mender+adapter"), AbOptions())
        seated = await seat_adapter(house, "mender", force="only I\nread it")
        assert seated.card.adapter
        assert seated.card.adapter.forced == "only I read it"
        card = find_card(folder)
        assert card is not None
        assert card.forced == "only I read it"
        assert ab_tests.variant_of(house, VariantSpec(persona="mender+adapter"), AbOptions()).workers[0].adapter

    run(house, work)


def test_gates_do_not_count_for_another_training_prompt_or_model(tmp_path: Path) -> None:
    house = furnished(tmp_path)
    folder = tmp_path / "loras" / "persona_mender"

    async def work() -> None:
        with pytest.raises(UsageError, match="no adapter for doubter"):
            await seat_adapter(house, "doubter")
        settings = house.backends.settings
        other = build_tiny_model(tmp_path / "other.gguf", seed=7)
        house.backends.change(msgspec.structs.replace(settings, worker=str(other)))
        with pytest.raises(UsageError, match=r"passed its gates on tiny\.gguf"):
            await seat_adapter(house, "mender")
        house.backends.change(settings)
        card = house.cards.get("mender").card
        house.cards.save("mender", msgspec.structs.replace(card, system="Another prompt."))
        with pytest.raises(UsageError, match="changed after the gates"):
            await seat_adapter(house, "mender")
        assert "The prompt was changed after the gates were run." in adapter_status(house, "mender").notes
        house.cards.save("mender", card)
        await seat_adapter(house, "mender")
        house.backends.change(msgspec.structs.replace(settings, worker=str(other)))
        with pytest.raises(UsageError, match="tune unseat --persona mender"):
            await house.ask("What first?")
        house.backends.change(settings)
        write_adapter(folder / "adapter.gguf", seed=5)
        assert adapter_status(house, "mender").gates is None
        with pytest.raises(UsageError, match="trained anew"):
            await house.ask("What first?")
        with pytest.raises(UsageError, match=r"gates of mender-.* were not run"):
            await seat_adapter(house, "mender")

    run(house, work)


def test_adapter_against_prompt_is_a_test_of_the_adapter_alone(tmp_path: Path) -> None:
    house = furnished(tmp_path)

    async def work() -> None:
        sides = VariantSpec(persona="mender"), VariantSpec(persona="mender@1+adapter")
        options = AbOptions(answer_tokens=24, temperature=0.0)
        test = ab_tests.start_test(house, "voice", *sides, ["What first?", "And then?"], options)
        assert (test.a.workers[0].adapter, test.a.workers[0].system) == (None, test.b.workers[0].system)
        assert test.b.workers[0].adapter == adapter_of(house, "mender").name
        trial = await ab_tests.next_trial(house, "voice")
        assert trial.a.text != trial.b.text
        extra = (trial.b.memory_estimate or 0) - (trial.a.memory_estimate or 0)
        assert extra == (tmp_path / "loras" / "persona_mender" / "adapter.gguf").stat().st_size
        assert trial.a.resident and trial.b.resident
        waiting = adapter_status(house, "mender").tests
        assert [(t.name, t.better) for t in waiting] == [("voice", None)]
        assert "waits for your vote" in waiting[0].words
        ab_tests.vote(house, "voice", trial.number, "first")
        assert adapter_status(house, "mender").tests[0].words.startswith("No difference shown yet")
        with pytest.raises(UsageError, match="Both sides are the same"):
            ab_tests.start_test(house, "same", VariantSpec(adapter="mender"), sides[1], ["q"], options)
        begun = [start_adapter_test(house, "mender").name for _ in range(2)]
        assert begun[1] == begun[0] + "-2"
        assert len(adapter_status(house, "mender").tests) == 3

    run(house, work)


def test_the_status_tells_who_won(tmp_path: Path) -> None:
    house = furnished(tmp_path)

    async def work() -> None:
        options = AbOptions(answer_tokens=16, alpha=0.2)
        sides = VariantSpec(persona="mender+adapter"), VariantSpec(persona="mender")
        ab_tests.start_test(house, "quick", *sides, [f"Question {n}?" for n in range(12)], options)
        for _ in range(5):  # five of five is enough at this alpha
            trial = await ab_tests.next_trial(house, "quick")
            ab_tests.vote(house, "quick", trial.number, "first" if trial.first == "b" else "second")
        (test,) = adapter_status(house, "mender").tests
        assert (test.state, test.better) == ("b", False)

    run(house, work)
