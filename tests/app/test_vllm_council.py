"""A council whose personas speak with adapters that a vLLM elsewhere serves, all behind one port."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from innercouncil.app.council import House
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.tune_adapters import adapter_of
from innercouncil.cli.main import cli
from innercouncil.model.card import PersonaCard, SeatedAdapter
from innercouncil.model.council import CouncilOptions, SessionRecord
from innercouncil.store.workspace import Workspace
from tiny_adapter import row, trained
from vllm_server import VllmServer

BASE = "tiny"
OPTIONS = CouncilOptions(answer_tokens=64, ballot_tokens=64, synthesis_tokens=64, temperature=0.0)
SEATED = {"mender": "mender-0123456789ab", "doubter": "doubter-ba9876543210", "planner": None}


def session(folder: Path, server: VllmServer, check: Callable[[SessionRecord], None]) -> None:
    """One session of three personas, two of whom speak with an adapter."""

    async def whole() -> None:
        async with server:
            house = House(Workspace(folder / "data"))
            try:
                house.backends.change(CouncilSettings(worker=f"{server.url}#{BASE}", lite=True))
                for slug, name in SEATED.items():
                    adapter = (
                        SeatedAdapter(name=name, sha256="0" * 64, base="tiny.gguf", base_sha256="1" * 64)
                        if name
                        else None
                    )
                    house.cards.add(
                        PersonaCard(name=slug.title(), system=f"You are {slug}.", adapter=adapter), slug, "created"
                    )
                check(await house.wait(await house.ask("What first?", options=OPTIONS)))
            finally:
                await house.close()

    asyncio.run(whole())


def test_everybody_answers_with_the_adapter_of_their_own_and_votes_as_the_base(tmp_path):
    server = VllmServer(BASE, {name: "x" for name in SEATED.values() if name})

    def check(record: SessionRecord) -> None:
        slugs = {w.seat: w.slug for w in record.council.workers}
        texts = {slugs[a.seat]: a.text for a in record.answers if a.part == "council"}
        assert {slug: text.split(" on: ")[0] for slug, text in texts.items()} == {
            s: n or BASE for s, n in SEATED.items()
        }
        assert record.final

    session(tmp_path, server, check)
    others = {
        b["model"] for b in server.bodies if "response_format" in b or "You are" not in b["messages"][0]["content"]
    }
    assert others == {BASE}, "votes and the synthesis are the base's"


def test_an_adapter_that_is_not_served_silences_its_persona_alone(tmp_path):
    server = VllmServer(BASE, {"mender-0123456789ab": "x"})

    def check(record: SessionRecord) -> None:
        slugs = {w.seat: w.slug for w in record.council.workers}
        problems = {slugs[a.seat]: a.problem for a in record.answers if a.part == "council" and a.problem}
        assert set(problems) == {"doubter"}
        assert "does not serve the adapter doubter-ba9876543210" in problems["doubter"]
        assert record.final

    session(tmp_path, server, check)
    assert "doubter-ba9876543210" not in {b["model"] for b in server.bodies}


def test_the_command_for_vllm_names_every_adapter_as_the_council_asks_for_it(tmp_path):
    data = tmp_path / "data"
    for seed, slug in enumerate(("mender", "doubter")):
        trained(data, slug, [row("q", "a b")], [], seed=seed)
    house = House(Workspace(data))
    names = {slug: adapter_of(house, slug).name for slug in ("mender", "doubter")}
    asyncio.run(house.close())
    result = CliRunner().invoke(cli, ["tune", "vllm", "--workspace", str(data)])
    assert result.exit_code == 0, result.output
    command = shlex.split(result.output)
    modules = dict(m.split("=", 1) for m in command[command.index("--lora-modules") + 1 :])
    assert modules == {name: str(tmp_path / "loras" / f"persona_{slug}") for slug, name in names.items()}
    assert command[:4] == ["vllm", "serve", "tiny", "--enable-lora"]
    assert command[command.index("--max-lora-rank") + 1] == "8", "the least vLLM takes that holds rank 4"
    assert command[command.index("--max-loras") + 1] == "2"
    told = CliRunner().invoke(cli, ["tune", "vllm", "--workspace", str(data), "--persona", "mender", "--json"])
    assert json.loads(told.output)[0]["adapters"] == [names["mender"]]


def test_without_an_adapter_it_says_how_to_get_one(tmp_path):
    result = CliRunner().invoke(cli, ["tune", "vllm", "--workspace", str(tmp_path / "data")])
    assert "tune train" in str(result.exception)
