"""`innercouncil ab …` as a person types it, with a real tiny model in the real llama.cpp."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_council_commands import Person, one_sentence

from innercouncil.store.ab_tests import AbStore
from innercouncil.store.database import Database
from scripted_author import speaking
from tiny_model import build_tiny_model

SHORT = ("--answer-tokens", 16)


@pytest.fixture(scope="module")
def tester(discovered: tuple[object, Path], tmp_path_factory: pytest.TempPathFactory) -> Person:
    import shutil

    home = tmp_path_factory.mktemp("tester")
    shutil.copytree(discovered[1], home / "data")
    person = Person(home / "data")
    tiny = build_tiny_model(home / "tiny.gguf", ending=4.5)
    assert person.types("models", "use", "--worker", tiny, "--lite", "--context", 8192).returncode == 0
    (home / "questions.txt").write_text("What first?\n\nWhy not?\n", "utf-8")
    (home / "edited.md").write_text("Answer in one word.\n", "utf-8")
    return person


def test_a_prompt_against_an_edited_one_from_start_to_delete(tester: Person) -> None:
    home = tester.workspace.parent
    slug = tester.json("personas", "list", "--json")[0]["slug"]
    begun = tester.json(
        "ab", "start", "shorter", "--a", f"{slug}@1", "--b-file", home / "edited.md", "--questions",
        home / "questions.txt", "--json", *SHORT,
    )  # fmt: skip
    assert [(n["win_rate"], n["fixed"]) for n in begun["power"]][2] == (0.65, 85)
    assert (begun["a"]["name"], begun["b"]["name"]) == (f"{slug}@1", "edited.md")

    shown = tester.json("ab", "vote", "shorter", "--json")
    assert sorted(shown) == ["answers", "number", "question"]
    assert len(shown["answers"]) == 2
    assert tester.json("ab", "vote", "shorter", "--json") == shown, "the same pair until it has its vote"
    assert tester.types("ab", "vote", "shorter", "--choice", "first").returncode == 0
    one_sentence(tester.types("ab", "vote", "shorter", "--choice", "first"), 2, "waits for a vote")

    status = tester.json("ab", "status", "shorter", "--json")
    first = status["orders"][0]
    assert status["verdict"][f"{first}_wins"] == 1
    assert status["words"].startswith("No difference shown yet: about ")
    assert status["a"]["cost"]["answer_tokens"] > 0
    assert status["b"]["cost"]["milliseconds"] > 0
    assert status["b"]["cost"]["resident"] > 1 << 20

    assert tester.json("ab", "vote", "shorter", "--question", "And then?", "--json")["question"] == "And then?"
    assert tester.types("ab", "vote", "shorter", "--choice", "tie").returncode == 0
    text = tester.types("ab", "status").stdout
    assert "ties 1 (not counted)" in text
    assert "Cost of B, median:" in text
    one_sentence(tester.types("ab", "vote", "shorter"), 2, "in a terminal")

    assert "Stopped after 1 votes" in tester.types("ab", "stop", "shorter").stdout
    one_sentence(tester.types("ab", "vote", "shorter", "--json"), 2, "was stopped")
    assert [t["name"] for t in tester.json("ab", "list", "--json")] == ["shorter"]
    assert tester.types("ab", "delete", "shorter").returncode == 0
    assert tester.json("ab", "list", "--json") == []


def test_two_line_ups_answer_as_councils(tester: Person) -> None:
    home = tester.workspace.parent
    slugs = [p["slug"] for p in tester.json("personas", "list", "--json")][:2]
    tester.json(
        "ab", "start", "bigger", "--a-council", slugs[0], "--b-council", ",".join(slugs), "--questions",
        home / "questions.txt", "--json", *SHORT,
    )  # fmt: skip
    assert len(tester.json("ab", "vote", "bigger", "--json")["answers"]) == 2
    status = tester.json("ab", "status", "bigger", "--json")
    assert status["open_trial"] == 1
    assert status["b"]["cost"]["prompt_tokens"] > status["a"]["cost"]["prompt_tokens"]


def test_what_cannot_be_tested_is_refused_in_one_sentence(tester: Person) -> None:
    home = tester.workspace.parent
    slug = tester.json("personas", "list", "--json")[0]["slug"]
    ask = ("--questions", home / "questions.txt")
    start = ("ab", "start", "bad")
    one_sentence(tester.types(*start, "--a", slug, "--b-adapter", slug, *ask), 2, "There is no adapter for")
    one_sentence(tester.types(*start, "--a", slug, "--b", slug, *ask), 2, "Both sides are the same")
    one_sentence(tester.types(*start, "--a", slug, *ask), 2, "name exactly one")
    one_sentence(tester.types(*start, "--a", slug, "--b", f"{slug}@9", *ask), 2, "no version")
    one_sentence(tester.types(*start, "--a", slug, "--b", "nobody", *ask), 1, "no persona called")
    one_sentence(tester.types("ab", "start", "two words", "--a", slug, "--b", "x", *ask), 2, "name has 1 to 40")
    one_sentence(tester.types("ab", "status", "nothing"), 1, "no A/B test")
    one_sentence(tester.types(*start, "--a", slug, "--b", "x", "--alpha", 0.9, *ask), 2, "alpha is 0.001 to 0.2")


def test_a_test_whose_model_cannot_be_read_is_listed_with_its_problem(voter: Person) -> None:
    home = voter.workspace.parent
    sides = ("--a-file", home / "alpha.md", "--b-file", home / "beta.md", "--questions", home / "questions.txt")
    voter.json("ab", "start", "sound", *sides, "--json")
    with sqlite3.connect(voter.workspace / "council.db") as db:
        db.execute("UPDATE ab_test SET body = json_set(body, '$.worker_model', 'no model') WHERE name = 'voices'")
    db.close()
    sound, bad = voter.json("ab", "list", "--json")
    assert (sound["name"], "cannot be read" in sound["words"]) == ("sound", False)
    assert (bad["name"], "cannot be read" in bad["words"]) == ("voices", True)
    assert voter.json("ab", "vote", "sound", "--json")["number"] == 1
    assert "model unknown" in voter.types("ab", "status", "voices").stdout
    one_sentence(voter.types("ab", "vote", "voices", "--json"), 2, "began with no model")
    assert voter.types("ab", "delete", "voices").returncode == 0


class Terminal:
    """A command at a terminal of its own, as a person sits before it."""

    def __init__(self, person: Person, *args: object) -> None:
        import pty

        self._ours, theirs = pty.openpty()
        self.child = subprocess.Popen(person.command(*args), stdin=theirs, stdout=theirs, stderr=theirs, env=person.env)
        os.close(theirs)

    def reads(self, until: str) -> str:
        """All it says up to and with `until`, or to its end."""
        text = b""
        while until.encode() not in text:
            assert select.select([self._ours], [], [], 120)[0], text
            try:
                piece = os.read(self._ours, 4096)
            except OSError:  # that is how the end of a terminal reads on Linux
                break
            if not piece:
                break
            text += piece
        return text.decode("utf-8", "replace")

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def ends(self) -> tuple[int, str]:
        """Exit code, and what it says until then."""
        rest = self.reads("\0never")
        code = self.child.wait(60)
        os.close(self._ours)
        return code, rest


def alpha_or_beta(body: dict[str, Any]) -> str:
    first = body["messages"][0]["content"]
    return f"I am {'alpha' if 'alpha' in first else 'beta'} \x1b[31m red" if "Be " in first else "ready"


ASKS = "q (leave)"


@pytest.fixture
def voter(tmp_path: Path) -> Iterator[Person]:
    """Someone whose test `voices` compares two typed prompts on three questions."""
    person = Person(tmp_path / "data")
    with speaking(alpha_or_beta) as address:
        begins(person, address)
        yield person


def begins(person: Person, address: str) -> None:
    home = person.workspace.parent
    for name in ("alpha", "beta"):
        (home / f"{name}.md").write_text(f"Be {name}.\n", "utf-8")
    (home / "questions.txt").write_text("What first?\nWhy not?\nHow long?\n", "utf-8")
    assert person.types("models", "use", "--worker", address, "--lite").returncode == 0
    person.json(
        "ab", "start", "voices", "--a-file", home / "alpha.md", "--b-file", home / "beta.md", "--questions",
        home / "questions.txt", "--json",
    )  # fmt: skip


def choice_of_alpha(said: str) -> str:
    return "1" if said.index("I am alpha") < said.index("I am beta") else "2"


def test_a_question_typed_while_another_window_writes_a_pair_is_asked_next(tmp_path: Path) -> None:
    person = Person(tmp_path / "data")
    typed: list[str] = []

    def answers(body: dict[str, Any]) -> str:
        if not typed and "Be " in body["messages"][0]["content"]:
            typed.append("And mine?")
            database = Database(person.workspace / "council.db")
            AbStore(database).ask("voices", typed, next_one=True)
            database.close()
        return alpha_or_beta(body)

    asked = []
    with speaking(answers) as address:
        begins(person, address)
        for _ in range(4):
            asked.append(person.json("ab", "vote", "voices", "--json")["question"])
            assert person.types("ab", "vote", "voices", "--choice", "tie").returncode == 0
    assert asked[1] == "And mine?"
    assert sorted(asked) == ["And mine?", "How long?", "What first?", "Why not?"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals there")
def test_votes_at_a_terminal_are_counted_for_whose_answer_it_was(voter: Person) -> None:
    sits = Terminal(voter, "ab", "vote", "voices")
    said = sits.reads(ASKS)
    assert "Question 1:" in said
    assert "\x1b[31m" not in said, "a model does not colour the terminal"
    assert "alpha.md" not in said, "nobody's name before the vote"
    sits.types("3\n")
    assert "is not one of" in sits.reads(ASKS)
    sits.types(f"{choice_of_alpha(said)}\n")
    sits.types(f"{choice_of_alpha(sits.reads(ASKS))}\n")
    sits.reads(ASKS)
    sits.types("t\n")
    code, rest = sits.ends()
    assert code == 0
    assert "All questions are asked" in rest
    verdict = voter.json("ab", "status", "voices", "--json")["verdict"]
    assert (verdict["a_wins"], verdict["b_wins"], verdict["ties"]) == (2, 0, 1)
    told = voter.types("ab", "status", "voices").stdout
    assert "model author at 127.0.0.1" in told


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals there")
@pytest.mark.parametrize(("key", "code"), [("q\n", 0), ("", 130)], ids=["q", "Ctrl-C"])
def test_who_leaves_the_vote_finds_the_same_pair_again(voter: Person, key: str, code: int) -> None:
    sits = Terminal(voter, "ab", "vote", "voices")
    said = sits.reads(ASKS)
    if key:
        sits.types(key)
    else:
        sits.child.send_signal(signal.SIGINT)
    ended, rest = sits.ends()
    assert ended == code, rest
    assert "Traceback" not in rest
    waiting = voter.json("ab", "vote", "voices", "--json")
    assert waiting["number"] == 1
    assert waiting["question"] in said
    assert voter.json("ab", "status", "voices", "--json")["asked"] == 1


@pytest.mark.parametrize("args", [[], ["start"], ["vote"], ["status"], ["list"], ["stop"], ["delete"]])
def test_help_shows_an_example(tester: Person, args: list[str]) -> None:
    result = subprocess.run([sys.executable, "-m", "innercouncil", "ab", *args, "--help"], capture_output=True, text=True, check=True)  # fmt: skip
    assert "Example" in result.stdout
