"""docs/architecture.md says what the import graph says: packages and their duties, floors, and the modules it names."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator

import grimp
import pytest
from docs_commands import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
SOURCE = ROOT / "src" / "innercouncil"
ROW_RE = re.compile(r"^\| (\d) [^|]*\|([^|]*)\|", re.MULTILINE)
DUTY_RE = re.compile(r"^\| `([\w/]+)` \| (.+) \|$", re.MULTILINE)
DATA_ONLY = {"prompts", "questions"}
"""Packages that hold files and the few lines that read them: they stand on no floor and import no other package."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("innercouncil")


def floors(page: str) -> dict[str, int]:
    """Room -> floor, as the page's table has it."""
    return {room: int(floor) for floor, rooms in ROW_RE.findall(page) for room in re.findall(r"`(\w+)`", rooms)}


def lies(page: str, graph: grimp.ImportGraph) -> Iterator[str]:
    """Every sentence of the page's tables and lists that the code does not bear out."""
    yield from _wrong_packages(page)
    yield from _wrong_imports(page, graph)
    yield from _wrong_contract(page)
    yield from _wrong_names(page)


def _wrong_packages(page: str) -> Iterator[str]:
    there = {p.parent.relative_to(SOURCE).as_posix(): p for p in SOURCE.rglob("*/__init__.py")}
    told = dict(DUTY_RE.findall(page.split("\n## Use cases", maxsplit=1)[0]))
    yield from (f"{name} has no duty" for name in there.keys() - told.keys())
    yield from (f"{name} is no package" for name in told.keys() - there.keys())
    for name in there.keys() & told.keys():
        says = (ast.get_docstring(ast.parse(there[name].read_text("utf-8"))) or "").partition("\n")[0]
        if told[name] != says:
            yield f"{name} says of itself: {says}"
    rooms = {name for name in there if "/" not in name} - DATA_ONLY
    yield from (f"{name} is on one side only" for name in rooms ^ floors(page).keys())


def _wrong_imports(page: str, graph: grimp.ImportGraph) -> Iterator[str]:
    floor = floors(page)
    for importer in graph.modules:
        own = importer.split(".")[1] if importer.count(".") else ""
        for imported in graph.find_modules_directly_imported_by(importer):
            room = imported.split(".")[1] if imported.count(".") else ""
            if own in DATA_ONLY and room not in (own, ""):
                yield f"{importer} imports {imported}"
            if room in floor and own in floor and room != own and floor[room] >= floor[own]:
                yield f"{importer} (floor {floor[own]}) imports {imported}"


def _wrong_contract(page: str) -> Iterator[str]:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    layers = [{r.strip().removeprefix("innercouncil.") for r in layer.split("|")} for layer in contract["layers"]]
    told: dict[int, set[str]] = {}
    for room, floor in floors(page).items():
        told.setdefault(floor, set()).add(room)
    if layers != [told[f] for f in sorted(told, reverse=True)]:
        yield "lint-imports checks other floors"


def _wrong_names(page: str) -> Iterator[str]:
    files = set(re.findall(r"`([a-z_]+/[\w./]+\.py)`", page))
    yield from (f"there is no {n}" for n in files if not (SOURCE / n).is_file() and not (ROOT / n).is_file())
    named = set(re.findall(r"`([a-z_0-9]+)`", page.split("## Use cases")[1].split("\n## ", maxsplit=1)[0]))
    paths = [p for p in (SOURCE / "app").glob("*.py") if p.stem != "__init__"]
    functions = {f for p in paths for f in re.findall(r"^def (\w+)", p.read_text("utf-8"), re.MULTILINE)}
    modules = {p.stem for p in paths}
    yield from (f"app has no {name}" for name in named - modules - functions - {"app"})
    yield from (f"app/{name}.py is not told of" for name in modules - named)


def test_the_page_says_what_the_code_does(graph: grimp.ImportGraph) -> None:
    assert not list(lies(PAGE, graph))


@pytest.mark.parametrize(
    ("true", "lie", "found"),
    [
        ("| 3 use cases | `app` |", "| 2 use cases | `app` |", "app.council (floor 2) imports innercouncil.council"),
        ("`cards`, `council`,", "`cards`,", "council is on one side only"),
        ("| 1 ground | `model` |", "| 1 ground | `model`, `kitchen` |", "kitchen is on one side only"),
        ("| 5 face | `cli` |", "| 4 face | `cli` |", "lint-imports checks other floors"),
        ("| `store` | What is kept", "| `store` | What is lost", "store says of itself: What is kept"),
        ("| `llm/embedders` |", "| `llm/embedder` |", "llm/embedder is no package"),
        ("| `questions` |", "| questions |", "questions has no duty"),
        ("`web/api_ab.py`", "`web/api_abc.py`", "there is no web/api_abc.py"),
        ("`tune_voice` checks", "`tune_choir` checks", "app has no tune_choir"),
        ("`doctor`; ", "", "app/doctor.py is not told of"),
    ],
)
def test_a_lie_on_the_page_is_found(graph: grimp.ImportGraph, true: str, lie: str, found: str) -> None:
    assert PAGE.count(true) == 1
    assert any(found in said for said in lies(PAGE.replace(true, lie), graph))


def test_an_import_that_the_page_does_not_allow_is_found() -> None:
    graph = grimp.build_graph("innercouncil")
    graph.add_import(importer="innercouncil.readers.chatgpt", imported="innercouncil.store.workspace")
    graph.add_import(importer="innercouncil.prompts", imported="innercouncil.app.council")
    assert sorted(lies(PAGE, graph)) == [
        "innercouncil.prompts imports innercouncil.app.council",
        "innercouncil.readers.chatgpt (floor 2) imports innercouncil.store.workspace",
    ]
