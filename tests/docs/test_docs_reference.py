"""The generated reference leaves nothing out: commands, environment variables, endpoints, and every file of a workspace."""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatch
from pathlib import Path

import msgspec
import pytest
from docs_commands import ROOT

from innercouncil.store.workspace import Workspace

sys.path.insert(0, str(ROOT / "scripts"))

from make_reference import pages
from reference import commands, files, http_api, settings

MADE = pages()
FOLDERS = {"root", "personas", "raw_imports", "clusters", "prompts", "lora_training", "stamps", "loras"}
"""Attributes of a workspace that are folders."""


def described(path: str) -> files.KeptFile | None:
    """What the page says of a file, the exact name before a pattern."""
    exact = [f for f in files.KEPT if f.path == path]
    return next(iter([*exact, *(f for f in files.KEPT if fnmatch(path, f.path))]), None)


def test_every_file_that_a_run_leaves_is_described_and_is_of_the_type_it_is_said_to_be(
    discovered: tuple[object, Path],
) -> None:
    folder = discovered[1]
    checked = 0
    for path in (p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        kept = described(name)
        assert kept is not None, f"{name} is not in docs/reference/files.md"
        if kept.kind is not None:
            for line in path.read_bytes().splitlines() if path.suffix == ".jsonl" else [path.read_bytes()]:
                msgspec.json.decode(line, type=kept.kind)
            checked += 1
    assert checked > 10


def test_every_path_of_a_workspace_is_described(tmp_path: Path) -> None:
    paths = {k: v for k, v in vars(Workspace(tmp_path)).items() if isinstance(v, Path) and k not in FOLDERS}
    names = {v.relative_to(tmp_path).as_posix() for k, v in paths.items() if not k.startswith("_")}
    assert names <= {f.path for f in files.KEPT}


@pytest.mark.parametrize("name", [n for n in MADE if n.endswith(".schema.json")])
def test_a_schema_describes_a_value_with_what_it_is_made_of(name: str) -> None:
    made = json.loads(MADE[name])
    assert made["$schema"].endswith("2020-12/schema")
    named = set(_references(made))
    assert named <= {f"#/$defs/{n}" for n in made.get("$defs", {})}


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [r for v in node.values() for r in _references(v)]
    return [r for v in node for r in _references(v)] if isinstance(node, list) else []


def test_meanings_that_stand_in_the_code_stand_in_schema_and_table() -> None:
    schema = MADE["reference/schemas/personas.extracted.categorized_messages.schema.json"]
    assert "Calibrated probability of the chosen label" in schema
    assert "Calibrated probability of the chosen label" in files.page()


def test_every_command_and_option_is_on_its_page() -> None:
    page = commands.page()
    for context in commands.every_command():
        assert f"# {context.command_path}\n" in page
        shown = [p for p in context.command.params if not getattr(p, "hidden", False)]
        for option in (o for p in shown for o in p.opts if o.startswith("--")):
            assert option in page


def test_environment_variables_are_those_the_code_reads() -> None:
    assert set(settings.VARIABLES) == settings.read_variables()


def test_every_endpoint_is_on_its_page() -> None:
    page = http_api.page()
    for path, methods in json.loads(http_api.document())["paths"].items():
        for method in methods:
            assert f"### `{method.upper()} {path}`" in page
