"""Every command of README.md and docs/ is typed, in the order of its page; what cannot be is parsed, and says why."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from docs_commands import ROOT, Command, commands, inline, pages, typed
from not_executed import NOT_EXECUTED, reason_against, rule_of
from other_exports import write_exports
from reader import Reader

from innercouncil.cli.main import cli
from innercouncil.llm.embedded import EmbeddedServer
from tiny_model import build_tiny_model

PAGES = [p for p in pages() if any(not reason_against(c) for c in commands(p))]
NEWCOMERS = ("README.md", "docs/tutorial.md")
"""Pages that begin with nothing; all others with the example discovered and a model chosen."""
BEGIN_AGAIN = {"README.md": "innercouncil models pull"}
"""Pages whose later part begins anew like the others, from this command on: what is renamed above is called by its old name."""
ENDS_WITH = (
    (r"innercouncil doctor", 1, "says: 1 where something is missing, e.g. the model just named"),
    (r"innercouncil tune check", 1, "says: 1 where packages, weights or a GPU are missing"),
)
"""Exit codes besides 0 that a command may end with here, and what the docs say of it."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, example: Path) -> Path:
    """A person's home folder, with downloads and models."""
    folder = tmp_path_factory.mktemp("home")
    write_exports(example, folder / "Downloads")
    (folder / "models").mkdir()
    for name in ("some-model.gguf", "larger-model.gguf"):
        build_tiny_model(folder / "models" / name, ending=7.0, speaks=True)
    return folder


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory, discovered: tuple[object, Path], home: Path) -> Path:
    """The workspace of someone who discovered personas, chose a model, and asked something."""
    folder = tmp_path_factory.mktemp("lived-in")
    shutil.copytree(discovered[1], folder / "data")
    reader = Reader(folder, home)
    for line in ("innercouncil models use --worker ~/models/some-model.gguf --lite", "innercouncil ask 'What first?'"):
        assert reader.types(Command("", 0, "bash", line)).code == 0
    return folder / "data"


@pytest.fixture
def folder(tmp_path: Path, home: Path, example: Path, discovered: tuple[object, Path]) -> Path:
    """Where the commands are typed: a checkout, with the files that the pages say the reader has."""
    for name in ("EXPORT", "EXPORT.zip"):
        shutil.copy(example, tmp_path / name)
    shutil.copy(home / "models" / "some-model.gguf", tmp_path / "model.gguf")
    (tmp_path / "prompt.md").write_text("You solve problems in small steps.\n", "utf-8")
    (tmp_path / "question.txt").write_text("What would you measure first?\n", "utf-8")
    questions = [
        {"prompt": f"Question {n} on {label}?", "label": label} for n in range(3) for label in ("stars", "bread")
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)), "utf-8")
    lines = (discovered[1] / "personas" / "extracted" / "categorized_messages.jsonl").read_text("utf-8").splitlines()
    (tmp_path / "labels.json").write_text(
        json.dumps({m["id"]: m["topic_category"] for m in map(json.loads, lines)}), "utf-8"
    )
    return tmp_path


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, home: Path) -> Iterator[tuple[str, str]]:
    """Address and key of a server that speaks OpenAI's protocol, for the page that needs one: llama.cpp's own."""
    if "remote" not in request.node.callspec.params["page"]:
        yield "", ""
        return
    server = EmbeddedServer(home / "models" / "some-model.gguf", slots=4, context_tokens=4096)
    address, key = server.start()
    yield f"{address}/v1", key
    server.stop()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are typed into bash")
@pytest.mark.parametrize("page", PAGES)
def test_every_command_works_as_it_stands_on_the_page(
    page: str, folder: Path, home: Path, lived_in: Path, elsewhere: tuple[str, str]
) -> None:
    reader = Reader(folder, home, elsewhere, changes=any(c.shell == "diff" for c in commands(page)))
    if page not in NEWCOMERS:
        reader.begin_again(lived_in)
    try:
        for command in commands(page):
            if command.text.startswith(BEGIN_AGAIN.get(page, "nothing")):
                reader.begin_again(lived_in)
            if not reason_against(command):
                _type(reader, command)
    finally:
        reader.leave()


def _type(reader: Reader, command: Command) -> None:
    place = f"{command.page}, line {command.line}: {command.text.splitlines()[0]}"
    began = time.monotonic()
    code, output = reader.types(command)
    print(f"{time.monotonic() - began:6.1f} s  {place}")
    also = {code for rule, code, _ in ENDS_WITH if re.match(rule, typed(command.text))}
    assert code in {command.code, *also}, f"{place}\nended with {code}:\n{output[-3000:]}"
    assert "Traceback" not in output, f"{place}\n{output[-3000:]}"
    said = " ".join(output.split())
    for line in command.says:
        assert " ".join(line.split()) in said, f"{place}\ndoes not say {line!r}:\n{output[-3000:]}"


def test_what_is_not_executed_is_at_least_understood() -> None:
    left_out = [c for page in pages() for c in commands(page) if reason_against(c)]
    ours = [
        c for c in left_out if typed(c.text).startswith(("innercouncil ", "python scripts/")) or "benchmarks/" in c.text
    ]
    arguments = [_arguments(c) for c in ours]
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "parse_only.py"], input=json.dumps(arguments), capture_output=True, text=True,
        encoding="utf-8", cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    problems = json.loads(done.stdout)
    found = [f"{c.page}, line {c.line}: {c.text}: {p}" for c, p in zip(ours, problems, strict=True) if p]
    assert not found, "\n".join(found)
    assert ours


def _arguments(command: Command) -> list[str]:
    words = shlex.split(typed(command.text), posix=command.shell != "powershell")
    words = [w for w in words if w != "…"]
    return words


def test_extras_that_the_docs_install_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    text = "\n".join((ROOT / p).read_text("utf-8") for p in pages())
    named = {n for group in re.findall(r"(?:innercouncil|\"\.)\[([a-z0-9,-]+)\]", text) for n in group.split(",")}
    named |= set(re.findall(r"--extra ([a-z0-9-]+)", text))
    assert named
    assert named <= set(extras)


def test_the_list_of_what_is_not_executed_is_no_longer_than_it_must_be() -> None:
    used = {rule for page in pages() for c in commands(page) if c.shell != "powershell" and (rule := rule_of(c))}
    assert not [rule for rule in NOT_EXECUTED if rule not in used]


@pytest.mark.parametrize("page", [p for p in pages() if inline(p)])
def test_commands_in_running_text_exist_with_their_options(page: str) -> None:
    problems = [f"line {c.line}: {c.text}: {p}" for c in inline(page) if (p := _unknown(typed(c.text)))]
    assert not problems, "\n".join(problems)


def _unknown(text: str) -> str:
    """What in an incomplete command does not exist."""
    words = text.split()
    if words[0] == "python" and words[1].endswith(".py"):
        return "" if (ROOT / words[1]).is_file() else f"there is no {words[1]}"
    if words[0] == "pytest":
        return "; ".join(f"there is no {w}" for w in words[1:] if not (ROOT / w.split("::")[0]).exists())
    if words[0] != "innercouncil":
        return ""
    command: click.Command = cli
    context = click.Context(cli)
    for at, word in enumerate(words[1:], 1):
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        below = command.get_command(context, word)
        if below is None:
            return f"there is no {' '.join(words[: at + 1])}"
        command = below
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    return "; ".join(f"there is no {w}" for w in words if w.startswith("--") and w.partition("=")[0] not in known)
