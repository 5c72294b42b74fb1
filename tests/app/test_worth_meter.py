"""Blind judgements of real sessions, by the person, by a scripted judge whose taste is known, and by a tiny real model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baseline_sessions import hold
from innercouncil.app.helper_model import HelperModel
from innercouncil.app.worth import Judged, judge_sessions, meter, open_trials, trial, vote
from innercouncil.model.errors import DeclinedError, UsageError
from innercouncil.model.worth import PERSON, WorthVote
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace
from innercouncil.store.worth import WorthStore
from scripted_author import serving
from tiny_model import build_tiny_model


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path / "data")
    ws.prepare()
    return ws


@pytest.fixture
def database(workspace: Workspace) -> Iterator[Database]:
    opened = Database(workspace.database)
    yield opened
    opened.close()


def test_a_trial_is_blind_and_its_order_tells_nothing(database):
    sessions = [hold(database, f"Question {n}?") for n in range(60)]
    trials = {t.session: t for t in open_trials(database)}
    assert list(trials) == sessions
    firsts = [t.answers[0].split()[1] for t in trials.values()]
    assert all(10 <= firsts.count(part) <= 32 for part in ("council", "alone", "samples"))
    assert trial(database, sessions[3]) == trials[sessions[3]], "the same at every look"


def test_a_judgement_is_kept_by_part_and_counts_once(database):
    session = hold(database)
    shown = [text.split()[1] for text in trial(database, session).answers]
    best = shown.index("council")
    rest = [n for n in range(3) if n != best]
    vote(database, session, [rest, [best]])
    vote(database, session, [[best], rest])
    assert open_trials(database) == []
    [alone, samples] = meter(database).contests
    assert [(c.baseline, c.wins, c.losses, c.ties) for c in (alone, samples)] == [
        ("alone", 1, 0, 0),
        ("samples", 1, 0, 0),
    ]
    assert meter(database).verdict == "not known yet"


@pytest.mark.parametrize(
    "tiers", [[], [[0]], [[0], [1]], [[0, 1, 2, 3]], [[0], [0], [1], [2]], [[0, 1, 2], []], [[-1], [0], [1]]]
)
def test_half_a_ranking_is_refused(database, tiers):
    session = hold(database)
    with pytest.raises(UsageError, match="each of the 3 answers"):
        vote(database, session, tiers)


def test_sessions_without_a_baseline_are_left_out(database):
    lonely = hold(database, parts=("council",))
    assert open_trials(database) == []
    with pytest.raises(UsageError, match="--baseline"):
        trial(database, lonely)
    assert "--baseline" in meter(database).notes[0]


def kept(database: Database, sessions: list[str], judge: str, *, alike: bool = False) -> None:
    tiers = (("council", "alone", "samples"),) if alike else (("council",), ("alone", "samples"))
    WorthStore(database).add(
        [WorthVote(session=s, judge=judge, shown=("council", "alone", "samples"), tiers=tiers) for s in sessions]
    )


def shown(workspace: Workspace) -> str:
    command = [sys.executable, "-m", "innercouncil", "worth", "show", "--workspace", str(workspace.root)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "160"})
    return told.stdout


def test_without_sessions_it_says_what_to_ask(workspace, database):
    told = shown(workspace)
    assert told.startswith("Not known yet: no session has a baseline to judge against.\n")
    assert "0 sessions with a baseline, 0 wait for your judgement." in told
    assert "innercouncil ask --baseline" in told
    assert "%" not in told, "no figure where nothing was counted"


def test_sessions_nobody_judged_are_told_with_what_they_cost(workspace, database):
    for n in range(2):
        hold(database, f"Question {n}?")
    told = shown(workspace)
    assert told.startswith("Not known yet: no session has been judged.\n")
    assert "2 sessions with a baseline, 2 wait for your judgement: `innercouncil worth vote`." in told
    assert "the council: 8.0 s, 450 tokens a question, 4.0 times the synthesizer alone" in told
    assert "evidence" not in told


def test_only_the_persons_votes(workspace, database):
    sessions = [hold(database, f"Question {n}?") for n in range(3)]
    kept(database, sessions[:2], PERSON)
    told = shown(workspace)
    assert told.startswith("Not known yet: judge more sessions blindly.\n")
    assert "You, against the synthesizer alone: preferred in 100% (14% to 100%) of 2 decided, 0 alike" in told
    assert "Models" not in told
    assert "1 waits for your judgement" in told
    kept(database, sessions[2:], PERSON, alike=True)
    assert shown(workspace).startswith("Not known yet: ask more with baselines, and judge the answers blindly.\n")


def test_only_models_votes(workspace, database):
    sessions = [hold(database, f"Question {n}?") for n in range(3)]
    kept(database, sessions, "m", alike=True)
    told = shown(workspace)
    assert told.startswith(
        "Not known yet: only models have judged, and not clearly; judge some sessions yourself, blindly.\n"
    )
    assert "Models, against plain samples: none decided, 3 alike" in told
    assert "You," not in told
    assert "they may like their own kind of answer" in told


def test_a_session_judged_by_three_models_is_one_trial(workspace, database):
    sessions = [hold(database, f"Question {n}?") for n in range(4)]
    for judge in ("m1", "m2", "m3"):
        kept(database, sessions, judge)
    told = shown(workspace)
    assert told.startswith("Not known yet: only models have judged, and not clearly")
    assert "of 4 decided, 0 alike; 4 sessions with 12 judgements; evidence 4.4: not known yet" in told
    assert "A session that several models judged counts once" in told


def test_time_and_tokens_are_told_beside_the_verdict(database):
    hold(database)
    costs = {c.part: c for c in meter(database).costs}
    assert (costs["council"].seconds, costs["alone"].seconds, costs["samples"].seconds) == (8.0, 2.0, 5.0)
    assert (costs["council"].tokens, costs["alone"].tokens) == (450.0, 300.0)


def test_a_deleted_session_takes_its_judgements_along(database):
    session = hold(database)
    vote(database, session, [[0], [1], [2]])
    SessionStore(database).delete(session)
    assert WorthStore(database).votes() == []
    assert meter(database).contests == ()


def helper(workspace: Workspace, name: str, *, yes: bool = True) -> HelperModel:
    return HelperModel(workspace, name, agrees=lambda _offer: yes)


def judged(workspace: Workspace, database: Database, answer: Any, times: int = 1) -> list[Judged]:
    with serving(answer) as url:
        model = helper(workspace, url)
        try:
            return [judge_sessions(database, model, lambda _done, _total: None) for _ in range(times)]
        finally:
            model.release()


def prefers(part: str) -> Any:
    """A judge with a taste: the answer of `part`, wherever it stands."""

    def answer(request: str, schema: Any) -> str:
        if schema is None:
            return "ready"
        first = request.partition("<<<answer A")[2].partition("<<<answer B")[0]
        return json.dumps({"better": "A" if f"The {part} speaks" in first else "B"})

    return answer


def test_a_judge_with_a_taste_is_heard_in_both_orders(workspace, database):
    for n in range(12):
        hold(database, f"Question {n}?")
    found, again = judged(workspace, database, prefers("council"), times=2)
    assert again.sessions == 0, "nothing is asked twice"
    assert (found.sessions, found.turned, found.unanswered) == (12, 0, 0)
    w = meter(database)
    assert [(c.judge, c.wins, c.losses) for c in w.contests] == [("models", 12, 0)] * 2
    assert w.verdict == "yes"
    assert "not yours" in w.words
    assert "Only models have judged" in w.notes[0]


def test_a_judge_that_likes_the_first_place_decides_nothing(workspace, database):
    for n in range(6):
        hold(database, f"Question {n}?")
    [found] = judged(workspace, database, lambda _r, schema: json.dumps({"better": "A"}) if schema else "x")
    assert found.turned == 12
    assert all((c.wins, c.losses, c.ties) == (0, 0, 6) for c in meter(database).contests)


@pytest.mark.parametrize("bad", ["no json", "{}", '{"better": "the first"}', '{"better": 1}', "[", ""])
def test_what_is_no_answer_is_not_counted(workspace, database, bad):
    hold(database)
    [found] = judged(workspace, database, lambda _r, schema: bad if schema else "x")
    assert (found.sessions, found.unanswered) == (0, 2)
    assert WorthStore(database).votes() == []


def test_a_real_model_judges_within_the_schema_and_a_no_asks_nothing(workspace, database, tmp_path):
    hold(database)
    tiny = str(build_tiny_model(tmp_path / "tiny.gguf"))
    refused = helper(workspace, tiny, yes=False)
    with pytest.raises(DeclinedError):
        judge_sessions(database, refused, lambda _d, _t: None)
    refused.release()
    model = helper(workspace, tiny)
    found = judge_sessions(database, model, lambda _d, _t: None)
    model.release()
    assert found.sessions + found.unanswered / 2 >= 1
