"""Every `--help`: an example that can be typed, and a word on every option."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
from docs_commands import ROOT

from innercouncil.cli.main import cli


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, by what is typed."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from commands(found, f"{name} {below}")


ALL = dict(commands(cli, "innercouncil"))


def examples(command: click.Command) -> list[str]:
    """The commands that the help shows as examples."""
    _, shown, lines = f"{command.help or ''}\n{command.epilog or ''}".partition("Example:")
    return [line.strip() for line in lines.splitlines() if line.strip()] if shown else []


@pytest.mark.parametrize("name", ALL)
def test_it_shows_an_example_of_itself(name: str) -> None:
    assert any(f"{line} ".startswith(f"{name} ") for line in examples(ALL[name]))


def test_every_example_is_understood() -> None:
    lines = [line for command in ALL.values() for line in examples(command)]
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "parse_only.py"], input=json.dumps([shlex.split(x) for x in lines]),
        capture_output=True, text=True, encoding="utf-8", cwd=ROOT, check=True,
    )  # fmt: skip
    assert not [f"{x}: {why}" for x, why in zip(lines, json.loads(done.stdout), strict=True) if why]


def test_examples_name_personas_that_the_bundled_example_has(discovered) -> None:
    slugs = {p.slug for p in discovered[0].discovery.personas}
    named: set[str] = set()
    for line in (line for command in ALL.values() for line in examples(command)):
        words = shlex.split(line)
        for option, value in pairwise(words):
            if option in ("--persona", "--personas", "--a", "--b"):
                named.update(slug.partition("@")[0] for slug in value.split(","))
        if words[1] == "personas":
            named.update(w for w in words[3:] if "-" in w and not w.startswith("-"))
    assert len(named) > 2
    assert named <= slugs


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_explained(name: str) -> None:
    options = [p for p in ALL[name].params if isinstance(p, click.Option) and not p.hidden]
    assert not [o.opts for o in options if not o.help]
