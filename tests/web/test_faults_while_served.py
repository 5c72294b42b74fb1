"""The disk fills up, or council.db is damaged, moved or deleted, while the app runs: a sentence each time, and it goes on by itself."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from browser import App, Watched, chromium, run_app
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from faulty_server import FaultyServer, beside
from innercouncil.model.errors import DamagedError
from innercouncil.store.database import Database
from innercouncil.web.http import NoTraceback

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows neither limits files nor moves open ones")
PAGES = ("/", "/personas", "/personas/planner", "/sessions", "/sessions/SESSION", "/models", "/dashboard", "/worth", "/ab")  # fmt: skip
STATIC = ("/import", "/map", "/adapters")
"""Pages that show nothing of the database."""
OF_THE_DATABASE = {
    "/api/status", "/api/models", "/api/doctor", "/api/personas", "/api/personas/{slug}", "/api/personas/{slug}/export/{format}",
    "/api/sessions", "/api/sessions/{id}", "/api/sessions/{id}/events", "/api/sessions/{id}/export", "/api/ab", "/api/worth",
    "/api/dashboard/standings", "/api/dashboard/worth", "/api/dashboard/ab", "/v1/models",
}  # fmt: skip
LONG = "A line of a long prompt. " * 1500
ANSWER = {"answer_tokens": 40, "synthesis_tokens": 40}


class Backend(FaultyServer):
    """Answers, until it is told to wait."""

    def __init__(self) -> None:
        super().__init__(0)
        self.go = threading.Event()
        self.go.set()
        self.waiting = threading.Event()

    async def _answer(self, body: dict[str, Any], writer: Any) -> None:
        import asyncio

        if not self.go.is_set():
            self.waiting.set()
            await asyncio.to_thread(self.go.wait, 60)
        await super()._answer(body, writer)


class Served(NamedTuple):
    """The app under test with a person's work in it."""

    app: App
    client: httpx.Client
    workspace: Path
    session: str

    def read(self) -> dict[str, tuple[int, bytes]]:
        """Every GET of the API, and what it answers now; times, jobs and figures of the machine left out."""
        paths = self.client.get("/openapi.json").json()["paths"]
        out = {}
        for path in [*(p for p, methods in paths.items() if "get" in methods), "/v1/models"]:
            address = path.replace("{slug}", "planner").replace("{format}", "card-v2").replace("{name}", "none")
            address = address.replace("{id}", self.session if "/sessions/" in path else "none")
            answer = self.client.get(address)
            out[path] = (
                answer.status_code,
                b"" if path in ("/api/status", "/api/models", "/api/doctor", "/api/jobs") else answer.content,
            )
        return out

    def write(self) -> list[httpx.Response]:
        """One of each kind of change."""
        export = {"content-type": "application/octet-stream"}
        put = {"name": "Planner", "system": LONG + str(time.monotonic()), "description": "", "temperature": None}
        card = b"---\nname: Reader\n---\n" + LONG.encode()
        return [
            self.client.post("/api/personas", json={"name": "Another", "system": LONG}),
            self.client.put("/api/personas/planner", json=put),
            self.client.post("/api/personas/planner/duplicate", json={"name": "Copy"}),
            self.client.post("/api/cards", params={"filename": "reader.md"}, content=card, headers=export),
            self.client.post("/api/sessions", json={"question": LONG, "options": ANSWER}),
            self.client.post("/api/imports", params={"filename": "c.json"}, content=b"[" + b" " * 200_000 + b"]", headers=export),
        ]  # fmt: skip

    def ended(self, session: str) -> dict[str, Any]:
        """The session when it is over, as the database has it."""
        for _ in range(600):
            answer = self.client.get(f"/api/sessions/{session}")
            if answer.status_code == 200 and answer.json()["status"] != "running":
                return answer.json()
            time.sleep(0.05)
        raise AssertionError(answer.text)


def sentence(answer: httpx.Response) -> str:
    """What a person reads of an error: one sentence as JSON, whoever asked."""
    said = answer.json()["error"]
    said = said["message"] if isinstance(said, dict) else said
    assert said.endswith((".", "`."))
    assert "\n" not in said
    assert "Traceback" not in answer.text
    return str(said)


@contextlib.contextmanager
def served(workspace: Path, backend: Backend, within: tuple[str, ...] = ()) -> Generator[Served, None, None]:
    with run_app(workspace, within) as app, httpx.Client(base_url=app.address, timeout=60) as client:
        settings = client.get("/api/models").json()["settings"]
        settings |= {"worker": f"http://127.0.0.1:{backend.port}/v1#any", "lite": True, "context_tokens": 32768}
        assert client.put("/api/models", json=settings).status_code == 200
        for name in ("Planner", "Doubter"):
            assert client.post("/api/personas", json={"name": name, "system": f"You are {name}."}).status_code == 201
        session = client.post("/api/sessions", json={"question": "What first?", "options": ANSWER}).json()["id"]
        whole = Served(app, client, workspace, session)
        assert whole.ended(session)["status"] == "done"
        client.post(f"/api/sessions/{session}/votes", json={"tiers": [[0], [1]], "blind": True})
        yield whole
        assert not [line for line in app.said if "Traceback" in line], "nothing of a person's may be logged"


@pytest.fixture
def backend() -> Iterator[Backend]:
    with beside(Backend()) as server:
        assert isinstance(server, Backend)
        yield server


# --- no room ---


@contextlib.contextmanager
def files_may_not_grow(app: App, _workspace: Path) -> Generator[None, None, None]:
    """A limit of the system on a process that runs: every further byte is refused."""
    import resource

    resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    yield
    resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextlib.contextmanager
def full(app: App, workspace: Path) -> Generator[None, None, None]:
    """The app's own small disk, filled to the last byte from outside."""
    other = Path(f"/proc/{app.process.pid}/root") / workspace.parent.relative_to("/") / "other people's files"
    with contextlib.suppress(OSError), other.open("wb", buffering=0) as f:
        while f.write(b"x" * 4096):
            pass
    yield
    other.unlink()


def small_disk(folder: Path) -> tuple[str, ...]:
    """A command that gives what it starts a disk of 8 MiB of its own at `folder`; skips where the system allows none."""
    within = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"mount -t tmpfs -o size=8m none '{folder}' && exec \"$0\" \"$@\"")  # fmt: skip
    if not shutil.which("unshare") or subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk of his own")
    return within


@pytest.mark.parametrize("kind", ["limit", "disk"])
def test_without_room_changes_are_refused_reading_goes_on_and_with_room_so_does_everything(
    tmp_path: Path, backend: Backend, kind: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    within, no_room = ((), files_may_not_grow) if kind == "limit" else (small_disk(home), full)
    with served(home / "data", backend, within) as it:
        backend.go.clear()
        under_way = it.client.post("/api/sessions", json={"question": "And then?", "options": ANSWER}).json()["id"]
        assert backend.waiting.wait(10)
        before = it.read()
        with no_room(it.app, it.workspace):
            # What the log of the database has room for already may still be written on a full disk; not for long.
            for _ in range(60):
                if it.client.post("/api/personas", json={"name": "Filler", "system": LONG}).status_code != 201:
                    break
            told = it.write()
            assert [a.status_code for a in told] == [507] * len(told)
            for said in map(sentence, told):
                assert said.startswith("Cannot write ")
                assert any(w in said for w in ("the disk is full", "may not grow", "does not take it")), said
            now = it.read()
            assert {p: a[0] for p, a in now.items()} == {p: a[0] for p, a in before.items()}, "reading goes on"
            backend.go.set()
            with it.client.stream("GET", f"/api/sessions/{under_way}/events") as stream:
                assert "Cannot write" in stream.read().decode(), "who watches is told why it ended"
            assert it.client.get(f"/api/sessions/{under_way}").status_code == 200
        assert it.ended(under_way)["status"] == "failed", "what could not be written down is, once there is room"
        assert it.client.post(f"/api/sessions/{under_way}/resume").status_code == 202
        assert it.ended(under_way)["status"] == "done"
        assert [a.status_code // 100 for a in it.write()] == [2] * len(told)


# --- no database ---


def overwritten(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as f:
        f.seek(4096)
        f.write(b"\xff" * (size - 4096))


def no_database(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as f:
        f.write(b"x" * size)


def cut_off(path: Path) -> None:
    os.truncate(path, 9000)


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "innercouncil", *map(str, words)], capture_output=True, text=True, check=False)  # fmt: skip


def flushed(path: Path) -> None:
    """Bring all into the file: what lies in the log is not damaged with it."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("damage", [overwritten, no_database, cut_off])
def test_damaged_while_served_it_says_so_everywhere_and_goes_on_with_the_restored_copy(
    tmp_path: Path, backend: Backend, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "data" / "council.db"
    with served(tmp_path / "data", backend) as it:
        assert command("backup", "make", "--workspace", it.workspace).returncode == 0
        before = it.read()
        flushed(path)
        damage(path)
        for _ in range(2):  # what SQLite holds in memory is answered from there, until somebody needs what it does not
            now = it.read()
            changed = {p: a for p, a in now.items() if a[0] != before[p][0]}
            assert {a[0] for a in changed.values()} == {503}
            assert all(b"is damaged (" in a[1] for p, a in changed.items() if a[1])
        assert set(changed) >= OF_THE_DATABASE
        for answer in it.write()[:5]:
            assert answer.status_code == 503
            assert "innercouncil backup restore" in sentence(answer)
        restored = command("backup", "restore", "--workspace", it.workspace)
        assert restored.returncode == 0, restored.stderr
        assert it.read() == before, "the copy is served without a restart"
        assert it.client.post("/api/personas", json={"name": "After", "system": "You came after."}).status_code == 201
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM persona WHERE slug = 'after'").fetchone() == (1,)


def test_every_page_shows_the_sentence(tmp_path: Path, backend: Backend) -> None:
    with served(tmp_path / "data", backend) as it, chromium() as browser:
        flushed(it.workspace / "council.db")
        no_database(it.workspace / "council.db")
        it.read()
        for path in (*PAGES, *STATIC):
            watched = Watched(browser, it.app.address)
            page = watched.open(path.replace("SESSION", it.session))
            shown = page.locator("[role=alert], main").all_inner_texts()
            assert any("is damaged (" in text for text in shown) or path in STATIC, (path, shown)
            assert not [p for p in watched.problems if p.startswith("error")], path
            page.context.close()


def test_moved_away_while_served_nothing_is_written_elsewhere_and_it_comes_back(
    tmp_path: Path, backend: Backend
) -> None:
    with served(tmp_path / "data", backend) as it:
        path, elsewhere = it.workspace / "council.db", tmp_path / "elsewhere.db"
        before = it.read()
        path.rename(elsewhere)
        for answer in it.write()[:5]:
            assert answer.status_code == 503
            assert "was moved or deleted while innercouncil had it open" in sentence(answer)
        assert not path.exists(), "no empty one takes its place"
        elsewhere.rename(path)
        assert it.read() == before


def test_another_database_put_in_its_place_is_served_and_the_old_log_does_not_reach_it(
    tmp_path: Path, backend: Backend
) -> None:
    other = Database(tmp_path / "other.db")
    other.set("mine", "the other")
    other.close()
    with served(tmp_path / "data", backend) as it:
        (tmp_path / "other.db").replace(it.workspace / "council.db")
        assert it.client.get("/api/personas").json()["personas"] == []
        assert it.client.post("/api/personas", json={"name": "New", "system": "You are new."}).status_code == 201
    database = Database(it.workspace / "council.db")
    assert database.setting("mine") == "the other"
    database.close()


def test_a_record_that_cannot_be_read_takes_only_its_own_page(tmp_path: Path, backend: Backend) -> None:
    with served(tmp_path / "data", backend) as it:
        with contextlib.closing(sqlite3.connect(it.workspace / "council.db")) as db, db:
            db.execute("UPDATE session SET council = '{' WHERE id = ?", (it.session,))
        answer = it.client.get(f"/api/sessions/{it.session}")
        assert answer.status_code == 503
        assert "a record cannot be read" in sentence(answer)
        assert it.client.get("/api/sessions").json()["total"] == 1
        assert len(it.client.get("/api/personas").json()["personas"]) == 2


def test_deleted_while_another_program_reads_it_is_gone_and_what_is_left_on_disk_is_told(
    tmp_path: Path, backend: Backend
) -> None:
    """Ten seconds each: so long it waits for the other program."""
    workspace, words = tmp_path / "data", {"ask": b"zebras", "tell": b"walruses"}

    def left() -> set[bytes]:
        files = [p.read_bytes() for p in workspace.rglob("council*.db*")]
        return {word for word in words.values() if any(word in data for data in files)}

    with served(workspace, backend) as it, contextlib.closing(sqlite3.connect(workspace / "council.db")) as other:
        ids = {}
        for verb, word in words.items():
            question = {"question": f"What of {word.decode()}?", "options": ANSWER}
            ids[verb] = it.client.post("/api/sessions", json=question).json()["id"]
            it.ended(ids[verb])
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM session").fetchone()
        answer = it.client.delete(f"/api/sessions/{ids['ask']}")
        assert answer.status_code == 503
        assert sentence(answer).startswith("It is deleted, but another program")
        asked = command("sessions", "delete", ids["tell"], "--yes", "--workspace", workspace)
        assert asked.returncode == 1
        assert asked.stderr.startswith("Error: It is deleted, but another program")
        assert "Deleted." not in asked.stderr
        listed = [s["id"] for s in it.client.get("/api/sessions").json()["sessions"]]
        assert listed == [it.session]
        assert left() == set(words.values())
        other.execute("COMMIT")
        assert command("sessions", "list", "--workspace", workspace).returncode == 0
        assert left() == set()


def test_a_text_that_cannot_be_read_is_not_quoted(tmp_path: Path) -> None:
    database = Database(tmp_path / "council.db")
    database.set("mine", "secret")
    with database.transaction() as db:
        db.execute("UPDATE setting SET value = CAST(x'736563726574ff' AS TEXT)")
    with pytest.raises(DamagedError, match="a text cannot be read") as caught:
        database.setting("mine")
    assert "secret" not in str(caught.value)
    database.close()


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("secret"), 500), (OSError(errno.ENOSPC, "No space", "secret"), 507)]
)
def test_what_nobody_foresaw_is_a_sentence_and_logs_no_word_of_it(
    error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(_request: Request) -> Response:
        raise error

    app = Starlette(routes=[Route("/", fails)], middleware=[Middleware(NoTraceback)])
    with TestClient(app) as client:
        answer = client.get("/")
    assert answer.status_code == status
    assert sentence(answer)
    assert "secret" not in caplog.text + answer.text
    assert type(error).__name__ in caplog.text
