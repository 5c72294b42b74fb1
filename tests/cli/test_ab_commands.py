"""`innercouncil ab …` as a person types it, with a real tiny model in the real llama.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_council_commands import Person, one_sentence

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


@pytest.mark.parametrize("args", [[], ["start"], ["vote"], ["status"], ["list"], ["stop"], ["delete"]])
def test_help_shows_an_example(tester: Person, args: list[str]) -> None:
    import subprocess
    import sys

    result = subprocess.run([sys.executable, "-m", "innercouncil", "ab", *args, "--help"], capture_output=True, text=True, check=True)  # fmt: skip
    assert "Example" in result.stdout
