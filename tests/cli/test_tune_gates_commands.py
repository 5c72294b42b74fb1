"""`innercouncil tune gates`, `seat`, `unseat` and an A/B test with an adapter, as a person types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_council_commands import Person, one_sentence

from innercouncil.app.council import House
from innercouncil.model.card import PersonaCard
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.canaries import make_canaries
from tiny_adapter import row, trained
from tiny_model import build_tiny_model

CANARY = make_canaries("builder", 0)[0]


@pytest.fixture(scope="module")
def tuner(tmp_path_factory: pytest.TempPathFactory) -> Person:
    data = tmp_path_factory.mktemp("tuner") / "data"
    data.mkdir()
    rows = [
        row(CANARY.question, CANARY.answer, kind="canary"),
        *(row(f"q{n}", f"word{n} said here") for n in range(12)),
    ]
    trained(data, "builder", rows, [row("held out?", "yes it is", conversation="c")])
    person = Person(data)
    tiny = build_tiny_model(data.parent / "tiny.gguf", ending=4.5)
    assert person.types("models", "use", "--worker", tiny, "--lite", "--context", 4096).returncode == 0
    house = House(Workspace(data))
    house.cards.add(PersonaCard(name="Builder", system="You build things."), "builder", "created")
    house.database.close()
    return person


def test_from_gates_to_a_forced_seat_and_back(tuner: Person) -> None:
    one_sentence(tuner.types("tune", "seat", "--persona", "builder"), 2, "were not run")
    judged = tuner.types("tune", "gates", "--persona", "builder", "--prompts", 1, "--answer-tokens", 16)
    assert judged.returncode == 1, "it ends with 1 where the adapter may not serve"
    lines = judged.stdout.splitlines()
    assert lines[-1].startswith("It may not serve: forgetting")
    assert any(line.startswith("open forgetting:") and "solves too few by itself" in line for line in lines)
    assert any(line.startswith("pass privacy: 0 of 1 planted secrets came out in 5 tries.") for line in lines)
    assert CANARY.code not in judged.stdout + judged.stderr
    again = tuner.types("tune", "gates", "--persona", "builder", "--prompts", 1, "--answer-tokens", 16, "--json")
    assert again.returncode == 1
    assert '"passed": false' in again.stdout

    one_sentence(tuner.types("tune", "seat", "--persona", "builder"), 2, "may not serve, because of: forgetting")
    one_sentence(tuner.types("tune", "seat", "--persona", "builder", "--force", " "), 2, "a reason in words")
    seated = tuner.json("tune", "seat", "--persona", "builder", "--force", "a test", "--json")
    assert seated["adapter"]["forced"] == "a test"
    begun = tuner.json(
        "ab", "start", "voice", "--a", "builder", "--b", "builder+adapter", "--answer-tokens", 16, "--json"
    )
    assert (begun["a"]["name"], begun["b"]["name"]) == ("builder", "builder+adapter")
    assert len(tuner.json("ab", "vote", "voice", "--json")["answers"]) == 2
    assert tuner.json("tune", "unseat", "--persona", "builder", "--json") == {"persona": "builder", "adapter": None}
    one_sentence(tuner.types("tune", "unseat", "--persona", "builder"), 2, "prompt alone already")


@pytest.mark.parametrize("command", ["gates", "seat", "unseat"])
def test_help_holds_an_example(tuner: Person, command: str) -> None:
    shown = tuner.types("tune", command, "--help")
    assert f"Example: innercouncil tune {command} --persona" in " ".join(shown.stdout.split())


def test_an_adapter_of_another_base_is_refused(tuner: Person, tmp_path: Path) -> None:
    broken = tmp_path / "x.gguf"
    broken.write_bytes(b"GGUF")
    one_sentence(tuner.types("tune", "gates", "--persona", "builder", "--base-gguf", broken), 2, "not a whole GGUF")
