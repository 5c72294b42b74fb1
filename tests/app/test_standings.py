"""`innercouncil standings` on a real council.db: the person's and the models' votes, apart and by topic."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from innercouncil.app.personas import create_persona, open_personas
from innercouncil.app.standings import marked, standings
from innercouncil.model.card import PersonaCard
from innercouncil.model.council import Answer, Answered, Ballot, Council, Finished, Timing, Voted, Worker
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace

NOW = Timing(started=0, first_token=1, finished=2)
QUESTIONS = ("Why does my Python function raise a KeyError?", "Write a poem about the sea for my grandmother.")


def hold(store: SessionStore, n: int, *, own: bool = False) -> str:
    """A session of three workers in which the first answers best in the models' eyes, the last in the person's.

    `own`: ballots hold the voter's answer too, and each voter puts it first.
    """
    workers = tuple(
        Worker(seat=i, slug=f"w{i}", name=f"W{i} \x1b[31m<b>", system="x", temperature=0.5) for i in range(3)
    )
    session = store.begin(
        Council(question=f"{QUESTIONS[n % 2]} ({n})", workers=workers, worker_model="m", synthesizer_model="s")
    )
    for i in range(3):
        text = "word " * (20 + 7 * ((n + i) % 3))
        store.record(session, Answered(Answer(part="council", seat=i, round=0, text=text, status="ok", timing=NOW)))
    for voter in range(3):
        shown = tuple(s for s in ((n + voter) % 3, (n + voter + 1) % 3, (n + voter + 2) % 3) if s != voter)
        best_first = tuple(sorted(shown)) if n % 4 else tuple(sorted(shown, reverse=True))
        if own:
            at = n % 3
            shown, best_first = (*shown[:at], voter, *shown[at:]), (voter, *best_first)
        store.record(session, Voted(Ballot(part="council", voter=voter, shown=shown, ranking=best_first, timing=NOW)))
    store.record(session, Finished("done"))
    store.vote(session, [[0], [1], [2]], blind=True)
    store.vote(session, [[2], [1], [0]] if n % 5 else [[0, 1, 2]], blind=True)
    return session


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path / "data")
    ws.prepare()
    database = Database(ws.database)
    store = SessionStore(database)
    for n in range(24):
        hold(store, n)
    database.close()
    return ws


def test_the_person_and_the_models_have_boards_of_their_own(workspace):
    found = {(b.name, b.topic): b for b in standings(workspace).boards}
    person, models = found["person", ""], found["models", ""]
    assert (person.questions, person.judgements) == (24, 24), "the last vote on a session counts"
    assert (models.questions, models.judgements) == (24, 72)
    assert [r.slug for r in person.ratings] == ["w2", "w1", "w0"]
    assert [r.slug for r in models.ratings] == ["w0", "w1", "w2"]
    assert {topic for _, topic in found} >= {"software", "creative"}
    assert "position" not in {g.name for g in person.gauges}, "where the person saw an answer is not kept"


def test_where_what_was_measured_cannot_be_kept_the_boards_are_there_all_the_same(workspace):
    first = standings(workspace)
    workspace.answer_styles.unlink()
    workspace.answer_styles.mkdir()
    assert standings(workspace) == first


def test_what_was_measured_is_kept_and_deleted_sessions_are_gone(workspace):
    first = standings(workspace)
    assert workspace.answer_styles.exists()
    assert b"word" not in workspace.answer_styles.read_bytes(), "no text is kept outside the database"
    assert standings(workspace) == first
    database = Database(workspace.database)
    store = SessionStore(database)
    for summary in store.page(limit=6).sessions:
        store.delete(summary.id)
    database.close()
    assert {b.questions for b in standings(workspace).boards if not b.topic} == {18}


def test_texts_are_measured_some_sessions_at_a_time_to_the_same_end(workspace, monkeypatch):
    whole = standings(workspace)
    kept = workspace.answer_styles.read_bytes()
    workspace.answer_styles.unlink()
    monkeypatch.setattr("innercouncil.app.standings.BATCH", 5)
    assert standings(workspace) == whole
    assert workspace.answer_styles.read_bytes() == kept


def test_own_answers_on_ballots_measure_self_preference(tmp_path):
    ws = Workspace(tmp_path / "data")
    ws.prepare()
    database = Database(ws.database)
    for n in range(24):
        hold(SessionStore(database), n, own=True)
    database.close()
    models = next(b for b in standings(ws).boards if (b.name, b.topic) == ("models", ""))
    gauge = next(g for g in models.gauges if g.name == "own")
    assert gauge.low > 0.5
    assert "own" not in {u.name for u in models.unmeasured}


def test_archived_and_deleted_personas_are_told_apart_from_those_there_are(workspace):
    _, database, cards = open_personas(workspace)
    for n in range(2):
        create_persona(cards, PersonaCard(name=f"W{n}", system="x"))
    assert standings(workspace).gone == ("w2",)
    with database.transaction() as db:
        db.execute("UPDATE persona SET archived = 1, enabled = 0 WHERE slug = 'w1'")
    database.close()
    assert standings(workspace).gone == ("w1", "w2")


def test_marked_lines_are_counted():
    assert marked("# Title\n\nplain\n- item\n1. one") == 0.75
    assert marked("") == 0.0
    assert marked("no marks here\nnone") == 0.0


def innercouncil(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "innercouncil", "standings", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_draws_intervals_and_prints_json(workspace):
    shown = innercouncil("--workspace", workspace.root, "--board", "person", "--topic", "all")
    assert shown.returncode == 0, shown.stderr
    assert "In your eyes" in shown.stdout
    assert "95% interval" in shown.stdout
    assert "\x1b" not in shown.stdout
    data = json.loads(innercouncil("--workspace", workspace.root, "--json").stdout)
    assert {b["name"] for b in data["boards"]} == {"person", "models"}
    wrong = innercouncil("--workspace", workspace.root, "--topic", "cooking")
    assert (wrong.returncode, "choose from" in wrong.stderr) == (2, True)


def test_without_votes_it_says_how_many_are_missing(tmp_path):
    empty = innercouncil("--workspace", tmp_path / "data")
    assert empty.returncode == 0
    assert "10 more questions" in empty.stdout
