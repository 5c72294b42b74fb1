"""Names that are paths, SQL, templates or devices: they stay names."""

from __future__ import annotations

import asyncio
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import voted_sessions
from innercouncil.app.ab_tests import VariantSpec, start_test
from innercouncil.app.council import House
from innercouncil.app.personas import create_persona, export_card, import_card
from innercouncil.app.tune_adapters import adapter_in, adapter_of
from innercouncil.cards.registry import read_card, write_card
from innercouncil.cards.safety import slug_of as card_slug
from innercouncil.model.ab import AbOptions, SideAnswer, Trial
from innercouncil.model.card import CARD_FORMATS, PersonaCard
from innercouncil.model.errors import InnerCouncilError, SessionNotFoundError
from innercouncil.model.slug import is_device, slug_of
from innercouncil.model.tuning import HandAnswer
from innercouncil.store.ab_tests import AbStore
from innercouncil.store.cards import CardStore
from innercouncil.store.database import Database
from innercouncil.store.judgements import JudgementStore
from innercouncil.store.sessions import SessionStore
from innercouncil.store.training_answers import TrainingAnswers
from innercouncil.store.workspace import Workspace
from innercouncil.web.app import build

PATHS = (
    "../../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "C:\\x", "//host/share", "a/../../b", "....//....//x",
    "%2e%2e%2fx", "x\0.json", "CON", "nul.json", "com1.txt", "LPT9", "a" * 5000, ".", "..", "", " ", "\u2024\u2024/x",
    "name:stream", "~root/x", "-rf", "$(id)", "`id`", "|id", "a\nb", "\u202egnp.exe",
)  # fmt: skip
SQL = (
    "'; DROP TABLE persona; --", '" OR 1=1 --', "x' UNION SELECT name, value FROM setting --", "%_%", "\\'", "a''b", "?1", ":name",
    "Robert'); DELETE FROM session;--", "{{7*7}}{% for x in y %}${7*7}#{7}<%= 7 %>",
)  # fmt: skip
FTS = ('"', "*", "a OR b", "NEAR(a b)", "question:x", "^a", "(", "a AND NOT b", "-", "' OR '1'='1", "a" * 5000)


def files_around(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.name.startswith("council.db")}


@pytest.mark.parametrize("name", PATHS, ids=range(len(PATHS)))
def test_a_name_becomes_a_harmless_slug_and_file_name(name: str) -> None:
    for slug in (slug_of(name), card_slug(name)):
        assert slug.strip("-") and set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(slug) <= 64
    card = PersonaCard(name=" ".join(name.replace("\0", "").split())[:80] or "x", system="Be kind.")
    for format_ in CARD_FORMATS:
        filename = write_card(card, format_).filename
        assert (
            Path(filename).name == filename and "\\" not in filename and not is_device(filename) and len(filename) < 100
        )
        assert read_card(write_card(card, format_).content, filename)[0].card.system == "Be kind."


def test_devices_of_windows_are_known() -> None:
    assert all(map(is_device, ("CON", "con", "nul.json", "Aux.tar.gz", "COM1", "lpt9.txt", "con .txt", "COM¹")))
    assert not any(map(is_device, ("council", "console.json", "com10", "lpt", "x.con", "nul-1")))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "home" / "data")
    made.prepare()
    return made


def test_no_adapter_and_no_variant_outside_the_workspace_is_reached(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "home" / "persona_x"
    outside.mkdir(parents=True)
    (outside / "adapter.gguf").write_bytes(b"GGUF")

    async def work() -> None:
        house = House(workspace)
        try:
            create_persona(house.cards, PersonaCard(name="A", system="Be."))
            for name in (*PATHS, "x/../../persona_x", "../persona_x"):
                with pytest.raises(InnerCouncilError):
                    adapter_of(house, name)
                with pytest.raises((InnerCouncilError, ValueError)):
                    adapter_in(house, name)
                if not name.isalnum() and name != "-rf":
                    with pytest.raises(InnerCouncilError):
                        start_test(
                            house, name, VariantSpec(persona="a"), VariantSpec(system="Be brief."), ["Q?"], AbOptions()
                        )
        finally:
            await house.close()

    asyncio.run(work())


def test_no_card_is_written_outside_and_none_by_its_name(workspace: Workspace, tmp_path: Path) -> None:
    database = Database(workspace.database)
    cards, before = CardStore(database), files_around(tmp_path)
    for name in PATHS:
        seated = import_card(cards, b"---\nname: kind\ndescription: d\n---\nBe kind.", name)
        filename = export_card(cards, seated.slug, "markdown").filename
        assert re.fullmatch(r"[a-z0-9-]+\.md", filename), filename
    database.close()
    assert files_around(tmp_path) == before


@pytest.mark.parametrize("name", SQL, ids=range(len(SQL)))
def test_a_name_that_is_sql_or_a_template_is_kept_as_it_stands(tmp_path: Path, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voted_sessions, "PEOPLE", tuple(f"{name} {n}" for n in range(4)))
        patch.setattr(voted_sessions, "QUESTIONS", tuple(f"{name} {n}" for n in range(4)))
        workspace = voted_sessions.filled(tmp_path, 8)
    database = Database(workspace.database)
    try:
        cards, sessions = CardStore(database), SessionStore(database)
        assert [p.card.name for p in cards.all()] == [f"{name} {n}" for n in range(4)]
        page = sessions.page(limit=50)
        assert page.total == 8
        assert all(s.question.startswith(name) for s in page.sessions)
        for text in (name, *FTS):
            sessions.page(query=text)
            sessions.page(before=text)
            for act in (sessions.find, sessions.get, sessions.delete):
                with pytest.raises(SessionNotFoundError):
                    act(text)
            with pytest.raises(InnerCouncilError):
                cards.get(text)
        database.set(name, name)
        assert database.setting(name) == name
        TrainingAnswers(database).put([HandAnswer(message=name, persona=name, text=name)])
        assert [a.text for a in TrainingAnswers(database).all()] == [name]
        store = AbStore(database)
        store.put(
            "waiting",
            Trial(
                number=3,
                question=name,
                first="a",
                a=SideAnswer(text=name, milliseconds=1),
                b=SideAnswer(text=name, milliseconds=1),
            ),
        )
        assert store.trials("waiting")[-1].question == name
        assert set(JudgementStore(database).names().values()) >= {f"{name} {n}" for n in range(4)}
        exported = sessions.export(page.sessions[0].id)
        sessions.delete(page.sessions[0].id)
        assert sessions.get(sessions.import_session(exported)).council.question == page.sessions[0].question
        assert sessions.page(limit=50).total == 8
    finally:
        database.close()


@pytest.fixture
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    from starlette.testclient import TestClient

    with TestClient(build(workspace, port=5000), base_url="http://127.0.0.1:5000") as opened:
        yield opened  # type: ignore[misc]


def test_no_address_reaches_a_file(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "home" / "secret.txt").write_text("amber-falcon-19")
    for raw in (
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/%2e%2e/secret.txt",
        "..%5c..%5csecret.txt",
        "%00",
        "....//secret.txt",
        "/etc/passwd",
        "C:%5cx",
        "CON",
    ):
        for place in (
            "/static/",
            "/static/vendor/",
            "/personas/",
            "/sessions/",
            "/api/personas/",
            "/api/sessions/",
            "/api/messages/",
            "/api/tune/",
            "/api/adapters/",
            "/api/ab/",
            "/",
        ):
            answer = client.get(place + raw)
            assert answer.status_code < 500, place + raw
            assert "amber-falcon-19" not in answer.text and "root:" not in answer.text
            if place.startswith(("/static", "/api")):
                assert answer.status_code != 200, place + raw


@pytest.mark.parametrize("name", PATHS, ids=range(len(PATHS)))
def test_no_upload_is_written_by_its_name(client: httpx.Client, tmp_path: Path, name: str) -> None:
    before = {p for p in files_around(tmp_path) if "home/data" not in p}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("../../evil.json", "[]")
    head = {"content-type": "application/octet-stream"}
    answer = client.post("/api/imports", params={"filename": name}, content=archive.getvalue(), headers=head)
    assert answer.status_code == 202, answer.text
    assert "problem" in client.get(f"/api/jobs/{answer.json()['job']}/events").text
    assert {p for p in files_around(tmp_path) if "home/data" not in p} == before
    assert not [p for p in files_around(tmp_path) if "evil" in p]
