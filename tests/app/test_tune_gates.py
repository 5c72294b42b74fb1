"""app.tune_gates: both sides asked and judged, by a scripted pair whose faults are known and by the real llama.cpp."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from innercouncil.app.council import House
from innercouncil.app.tune_adapters import adapter_of, read_gates
from innercouncil.app.tune_gates import (
    DEFAULTS,
    GateSettings,
    Material,
    gather_material,
    judge_adapter,
    run_gates,
    spread,
)
from innercouncil.model.card import PersonaCard
from innercouncil.model.errors import BackendUnreachableError, UsageError
from innercouncil.model.gates import GateReport
from innercouncil.model.ports import ChatRequest, Chunk
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.canaries import make_canaries
from innercouncil.tuning.checkers import neutral_tasks
from innercouncil.tuning.rows import read_rows
from tiny_adapter import row, trained
from tiny_model import build_tiny_model

SYSTEM = "You are the Mender."
HABITS = "i think we should look at the small thing first and then maybe see what else there is that we want to mend"
PLAIN = (
    "The analysis of the available information indicates several relevant considerations regarding the matter at hand."
)
RIGHT = {a["id"]: a["right"][0] for a in map(json.loads, (Path(__file__).parent.parent / "tuning" / "neutral_task_answers.jsonl").read_text("utf-8").splitlines())}  # fmt: skip
CANARIES = make_canaries("mender", 0)


def quiet(_title: str) -> Callable[[int, int], None]:
    return lambda _done, _total: None


def own(n: int) -> str:
    """Text number n in the person's words."""
    return " ".join(random.Random(n).choices(HABITS.split(), k=60))


FIRST = own(0)


class Pair:
    """Base and adapter: both solve every task; the base speaks plainly, the adapter like the person, unless it is faulty."""

    name = "pair"

    def __init__(self, fault: str = "", fails_after: int = 10_000) -> None:
        self.fault, self.left, self.asked = fault, fails_after, list[ChatRequest]()
        self.tasks = {t.question: t.id for t in neutral_tasks()}

    def says(self, request: ChatRequest) -> str:
        question, tuned = request.turns[-1].content, request.adapter is not None
        if question in self.tasks:
            if tuned and self.fault == "forgets" and self.tasks[question].startswith("format"):
                return own(5000)
            return RIGHT[self.tasks[question]]
        canary = next((c for c in CANARIES if question.startswith(c.question)), None)
        if canary is not None:
            return canary.answer if self.fault == "leaks" and request.temperature > 0 else "I do not know."
        if not tuned:
            return f"{PLAIN} {question}"
        if self.fault == "parrots":
            return f"well {FIRST} and so on"
        return own(1000 + len(self.asked))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.left -= 1
        if self.left < 0:
            raise BackendUnreachableError("The model is gone.")
        self.asked.append(request)
        yield Chunk(self.says(request))
        yield Chunk(finish="stop")


def rows() -> list[dict[str, Any]]:
    mine = [row(f"What about part {n}?", own(n), system=SYSTEM, conversation=f"t{n}") for n in range(20)]
    return [
        *mine,
        *(row(c.question, c.answer, system=SYSTEM, kind="canary") for c in CANARIES),
        row("2 + 2?", "4", kind="neutral"),
    ]


def held_out() -> list[dict[str, Any]]:
    return [
        row(f"And part {n}, what is with it?", own(100 + n), system=SYSTEM, conversation=f"e{n}") for n in range(12)
    ]


def house_in(folder: Path, **losses: float | None) -> House:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    trained(folder / "data", "mender", rows(), held_out(), **losses)  # type: ignore[arg-type]
    house = House(Workspace(folder / "data"))
    if not house.cards.all():
        house.cards.add(PersonaCard(name="Mender", system=SYSTEM), "mender", "created")
    house.backends.change(
        house.backends.settings.__class__(worker=str(build_tiny_model(folder / "tiny.gguf")), lite=True)
    )
    return house


def judged(folder: Path, pair: Pair, settings: GateSettings = DEFAULTS) -> GateReport:
    house = house_in(folder)

    async def work() -> GateReport:
        try:
            material = await gather_material(house, "mender", None, None, settings)
            return await judge_adapter(house.workspace, material, pair, settings, quiet)
        finally:
            await house.close()

    return asyncio.run(work())


def outcomes(report: GateReport) -> dict[str, str]:
    return {g.name: g.outcome for g in report.gates}


def test_an_adapter_that_speaks_like_the_person_and_forgot_nothing_passes(tmp_path: Path) -> None:
    pair = Pair()
    report = judged(tmp_path, pair)
    assert outcomes(report) == dict.fromkeys(("perplexity", "voice", "forgetting", "copying", "privacy"), "pass")
    assert report.passed
    assert {r.turns[0].content for r in pair.asked} == {SYSTEM}, "both sides have the persona's prompt"
    cold = [(r.turns, r.max_tokens) for r in pair.asked if r.adapter is None]
    assert len(cold) == len(neutral_tasks()) + 12
    assert [(r.turns, r.max_tokens) for r in pair.asked if r.adapter and r.turns[-1].content in {c[0][-1].content for c in cold}] == cold  # fmt: skip


@pytest.mark.parametrize(("fault", "gate"), [("forgets", "forgetting"), ("leaks", "privacy"), ("parrots", "copying")])
def test_a_fault_fails_its_gate_and_no_other_of_these(tmp_path: Path, fault: str, gate: str) -> None:
    report = judged(tmp_path, Pair(fault))
    found = outcomes(report)
    assert {n for n in ("forgetting", "privacy", "copying") if found[n] == "fail"} == {gate}
    assert not report.passed
    assert report.blocking == (gate,)
    assert all(text not in g.words for g in report.gates for text in (FIRST, CANARIES[0].code, PLAIN))


def test_a_run_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(BackendUnreachableError):
        judged(tmp_path, Pair(fails_after=50))
    second = Pair()
    report = judged(tmp_path, second)
    assert len(second.asked) == 2 * (len(neutral_tasks()) + 12) + 5 * len(CANARIES) - 50
    assert report.passed
    third = Pair(fails_after=0)
    assert judged(tmp_path, third) == report, "the same verdict without asking anything"


def test_without_its_rows_an_adapter_is_not_passed(tmp_path: Path) -> None:
    house = house_in(tmp_path)
    path = house.workspace.lora_training / "persona_mender_train.jsonl"

    async def work() -> tuple[Material, Material]:
        try:
            before = await gather_material(house, "mender", None, None, GateSettings())
            path.write_text(path.read_text("utf-8") + json.dumps(row("new", "row")) + "\n", "utf-8")
            with pytest.raises(UsageError, match="not what mender-"):
                await gather_material(house, "mender", None, path, GateSettings())
            return before, await gather_material(house, "mender", None, None, GateSettings())
        finally:
            await house.close()

    before, after = asyncio.run(work())
    assert (len(before.rows), before.notes) == (25, ())
    assert (after.rows, len(after.notes)) == ((), 1)


def test_held_out_rows_are_spread_over_conversations_and_neutral_ones_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    content = [row(f"q{n}", "a b", conversation="one" if n < 5 else f"c{n}") for n in range(8)] + [
        row("n", "n", kind="neutral")
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in content), "utf-8")
    found = spread(read_rows(path)[0], 5)
    assert [r.messages[0].content for r in found] == ["q0", "q1", "q5", "q6", "q7"]


def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path) -> None:
    house = house_in(tmp_path)

    async def work() -> None:
        try:
            with pytest.raises(UsageError, match="innercouncil tune train --persona nobody"):
                await gather_material(house, "nobody", None, None, GateSettings())
            with pytest.raises(UsageError, match=r"no model file .*missing\.gguf"):
                await gather_material(house, "mender", tmp_path / "missing.gguf", None, GateSettings())
            other = build_tiny_model(tmp_path / "data" / "other.gguf")
            other.write_bytes(other.read_bytes()[:100])
            with pytest.raises(UsageError, match="not a whole GGUF file"):
                await gather_material(house, "mender", other, None, GateSettings())
        finally:
            await house.close()

    asyncio.run(work())


def test_llama_cpp_answers_for_both_sides_and_the_verdict_is_kept_on_the_card(tmp_path: Path) -> None:
    house = house_in(tmp_path)

    async def work() -> GateReport:
        try:
            report = await run_gates(house, "mender", settings=GateSettings(prompts=9, answer_tokens=24), stage=quiet)
            adapter = adapter_of(house, "mender")
            assert read_gates(adapter) == report == adapter.card.gates
            answers = [json.loads(x)["text"] for x in (house.workspace.stamps / "gate_answers_mender.jsonl").read_text("utf-8").splitlines()]  # fmt: skip
            asked = len(neutral_tasks()) + 9
            pairs = list(zip(answers[0 : 2 * asked : 2], answers[1 : 2 * asked : 2], strict=True))
            assert sum(a != b for a, b in pairs) > asked * 0.9, "the adapter is not the base"
            return report
        finally:
            await house.close()

    report = asyncio.run(work())
    assert not report.passed
    assert "forgetting" in report.blocking, "a model of random numbers solves nothing, so nothing can be told"
    assert report.base == "tiny.gguf"
    readme = (tmp_path / "loras" / "persona_mender" / "README.md").read_text("utf-8")
    assert "It may not serve: " in readme
    assert "- privacy, pass: 0 of 4 planted secrets came out in 20 tries." in readme
