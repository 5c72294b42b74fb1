"""`innercouncil evaluate twins` as a person runs it: a server whose voices are known, interruptions, kept sessions, and a model elsewhere."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_council_commands import Person, one_sentence

from innercouncil.app.personas import create_persona
from innercouncil.model.card import PersonaCard
from innercouncil.store.cards import CardStore
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace
from scripted_author import speaking
from tiny_model import build_tiny_model

SYSTEMS = {
    "Mender": "Speak like a craftsman.\nWrite to jo.doe@example.com.", "Fixer": "Talk in the way of artisans.",
    "Poet": "Sing of the sea.",
}  # fmt: skip
CRAFT, SEA = (
    ["wood", "nail", "hammer", "bench", "saw", "glue", "plane", "chisel"],
    ["wave", "foam", "gull", "salt", "tide", "moon", "drift", "shell"],
)
FEW = ("--questions", 8, "--samples", 3)
CALLS = 3 * 8 * 3
EXAMPLE_MAIL = "jo.doe@example.com"


class Speaker:
    """Craftsmen and artisans have the same words, poets others. It keeps what it was sent."""

    def __init__(self, waits_after: int = 10_000) -> None:
        self.asked = Counter[str]()
        self.texts: list[str] = []
        self.left, self.reached, self.released = waits_after, threading.Event(), threading.Event()

    def __call__(self, body: dict[str, Any]) -> str:
        said = {m["role"]: m["content"] for m in body["messages"]}
        self.texts += said.values()
        if "system" not in said:  # how fast is it?
            return "one two three"
        self.left -= 1
        if self.left < 0:
            self.reached.set()
            self.released.wait(60)
        whose = f"{said['system']}\n{said['user']}\n"
        self.asked[f"{whose}{body['seed']}"] += 1
        # By the how manieth answer it is, for the seeds that are sent depend on the server's address.
        told = sum(key.startswith(whose) for key in self.asked)
        words = SEA if "sea" in said["system"] else CRAFT
        return " ".join(random.Random(f"{whose}{told}").choices([*words, *said["user"].split()], k=60))


@pytest.fixture
def person(tmp_path: Path) -> Person:
    workspace = Workspace(tmp_path / "data")
    workspace.prepare()
    database = Database(workspace.database)
    for name, system in SYSTEMS.items():
        create_persona(CardStore(database), PersonaCard(name=name, system=system))
    database.close()
    return Person(workspace.root)


def test_twins_are_named_with_their_remedy_and_the_third_is_cleared(person: Person) -> None:
    speaker = Speaker()
    with speaking(speaker) as address:
        found = person.json("evaluate", "twins", "--llm", address, "--yes", "--json", *FEW)
        told = person.types("evaluate", "twins", "--llm", address, *FEW)
    verdicts = {frozenset((p["one"], p["other"])): p["verdict"] for p in found["pairs"]}
    assert verdicts[frozenset(("mender", "poet"))] == verdicts[frozenset(("fixer", "poet"))] == "distinct"
    assert verdicts[frozenset(("mender", "fixer"))] == "twins"
    assert (found["questions"], found["samples"], set(speaker.asked.values())) == (8, CALLS, {1})
    assert json.loads((Workspace(person.workspace).prompts / "twins.json").read_text("utf-8")) == found
    assert told.returncode == 0, "nothing is asked again, so nobody has to agree"
    closest = found["pairs"][0]
    for words in (
        f"{CALLS} answers of 3 personas to 8 questions", f"{closest['one']}, {closest['other']}", "twins", "distinct",
        "Train an adapter for Mender or Fixer",
    ):  # fmt: skip
        assert words in told.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="neither signal can be sent there")
@pytest.mark.parametrize("cut", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_cut_off_it_keeps_what_was_said_and_the_same_command_goes_on(person: Person, cut: signal.Signals) -> None:
    speaker = Speaker(waits_after=20)
    with speaking(speaker) as address:
        args = ("evaluate", "twins", "--llm", address, "--yes", "--json", *FEW)
        with subprocess.Popen(
            person.command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=person.env
        ) as child:
            assert speaker.reached.wait(60)
            child.send_signal(cut)
            out, said = child.communicate(timeout=60)
        speaker.released.set()
        if cut == signal.SIGINT:
            assert child.returncode == 130, said
            assert "run the same command to go on" in said
        assert "Traceback" not in said
        assert not out
        kept = (person.workspace / ".innercouncil" / "twin_samples.jsonl").read_bytes().count(b"\n")
        assert 16 <= kept <= 20
        speaker.left = 10_000
        assert len(person.json(*args)["pairs"]) == 3
    asked = Counter(speaker.asked.values())
    assert len(speaker.asked) == CALLS
    assert asked[2] <= 4, "only what was under way is asked again"
    assert set(asked) <= {1, 2}


def test_without_a_yes_nothing_is_asked(person: Person) -> None:
    speaker = Speaker()
    with speaking(speaker) as address:
        refused = person.types("evaluate", "twins", "--llm", address, *FEW)
    one_sentence(refused, 2, "--yes")
    assert f"{CALLS} calls" in refused.stderr
    assert not speaker.asked


def test_a_model_elsewhere_is_asked_after_consent_and_reads_redacted_prompts(person: Person) -> None:
    """The other machine is behind a proxy, which is this test's own server."""
    speaker = Speaker()
    with speaking(speaker) as address:
        proxy = address.removesuffix("/v1#author")
        far = Person(person.workspace, {"HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": "", "no_proxy": ""})
        run = ("evaluate", "twins", "--llm", "http://speaker.example/v1#author", "--yes", *FEW)
        one_sentence(far.types(*run), 2, "innercouncil models allow speaker.example")
        assert not speaker.texts, "nothing was sent"
        assert far.types("models", "allow", "speaker.example").returncode == 0
        done = far.types(*run)
    assert done.returncode == 0, done.stderr
    assert "personal things taken out before they are sent" in done.stderr
    assert sum(speaker.asked.values()) == CALLS
    assert any("Speak like a craftsman." in text for text in speaker.texts)
    assert not any(EXAMPLE_MAIL in text for text in speaker.texts)


@pytest.fixture(scope="module")
def held(discovered: tuple[object, Path], tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Five questions put to two of the example's personas, for whom a model of random numbers speaks."""
    import shutil

    folder = tmp_path_factory.mktemp("twins")
    shutil.copytree(discovered[1], folder / "data")
    person = Person(folder / "data")
    tiny = build_tiny_model(folder / "tiny.gguf", ending=4.5)
    assert person.types("models", "use", "--worker", tiny, "--lite", "--context", 8192).returncode == 0
    short = ("--option", "answer_tokens=40", "--option", "synthesis_tokens=16")
    two = ",".join(p["slug"] for p in person.json("personas", "list", "--json")[:2])
    assert person.json("run-questions", "--bundled", "--limit", 5, "--personas", two, "--json", *short)["done"] == 5
    return person


def test_a_random_model_makes_no_distinct_personas_of_kept_sessions(held: Person) -> None:
    found = held.json("evaluate", "twins", "--from-sessions", "--json")
    assert found["questions"] == 5
    assert {p["independent"] for p in found["pairs"]} == {5}, "a batch gives every question random numbers of its own"
    assert "distinct" not in {p["verdict"] for p in found["pairs"]}
    told = held.types("evaluate", "twins", "--from-sessions")
    assert told.returncode == 0
