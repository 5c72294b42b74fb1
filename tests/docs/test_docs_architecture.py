"""docs/architecture.md says what the import graph says: rooms, floors, and the modules it names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import grimp
import pytest
from docs_commands import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
ROW_RE = re.compile(r"^\| (\d) [^|]*\|([^|]*)\|", re.MULTILINE)
DATA_ONLY = {"prompts", "questions", "example"}
"""Packages that hold files and the few lines that read them."""


def floors() -> dict[str, int]:
    """Room -> floor, as the page's table has it."""
    return {room: int(floor) for floor, rooms in ROW_RE.findall(PAGE) for room in re.findall(r"`(\w+)`", rooms)}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("innercouncil")


def test_the_table_names_every_package_and_no_other(graph: grimp.ImportGraph) -> None:
    packages = {m.split(".")[1] for m in graph.find_children("innercouncil") if graph.find_children(m)}
    packages |= {p.parent.name for p in (ROOT / "src" / "innercouncil").glob("*/__init__.py")}
    assert set(floors()) == packages - DATA_ONLY


def test_rooms_import_only_from_floors_below(graph: grimp.ImportGraph) -> None:
    floor = floors()
    wrong = [
        f"{importer} (floor {floor[importer.split('.')[1]]}) imports {imported}"
        for importer in graph.modules if importer.count(".") >= 1 and importer.split(".")[1] in floor
        for imported in graph.find_modules_directly_imported_by(importer)
        if (room := imported.split(".")[1] if imported.count(".") else "") in floor
        and room != importer.split(".")[1] and floor[room] >= floor[importer.split(".")[1]]
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_the_table_and_the_contract_that_lint_imports_checks_are_one() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    layers = [{r.strip().removeprefix("innercouncil.") for r in layer.split("|")} for layer in contract["layers"]]
    told: dict[int, set[str]] = {}
    for room, floor in floors().items():
        told.setdefault(floor, set()).add(room)
    assert layers == [told[f] for f in sorted(told, reverse=True)]


def test_files_and_modules_the_page_names_exist() -> None:
    source = ROOT / "src" / "innercouncil"
    named = set(re.findall(r"`([a-z_]+/[\w./]+\.py)`", PAGE))
    assert named
    assert not [n for n in named if not (source / n).is_file() and not (ROOT / n).is_file()]
    modules = re.findall(r"`([a-z_0-9]+)`", PAGE.split("## Use cases")[1].split("\n## ")[0])
    known = {p.stem for p in Path(source / "app").glob("*.py")}
    functions = {
        f for p in (source / "app").glob("*.py") for f in re.findall(r"^def (\w+)", p.read_text("utf-8"), re.MULTILINE)
    }
    assert not [m for m in modules if m not in known | functions]
