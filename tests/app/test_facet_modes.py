"""`discover --modes facets`: with a judge whose right answers are known for the statistics, with a real tiny model for the plumbing."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sklearn.metrics import adjusted_rand_score
from test_model_labelling import INJECTIONS, discover

from conftest import EXAMPLE, Quiet, contents
from facet_judge import NAMES, TRUTH, Judge, ScriptedHelper, name_for, random_phrases, random_words
from faulty_server import FaultyServer, beside
from innercouncil.app.discover import Outcome, discover_personas, rebuild_personas
from innercouncil.app.evaluate_modes import evaluate_modes
from innercouncil.app.findings import changed
from innercouncil.app.helper_model import HelperModel
from innercouncil.app.settings import Settings
from innercouncil.model.errors import BackendBusyError, DeclinedError, NothingToDiscoverError, UsageError
from innercouncil.model.facets import ConversationFacets, FacetHierarchy, ModeComparison
from innercouncil.model.persona import Change
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace
from tiny_model import build_tiny_model

FACETS = Settings(bootstraps=4, modes="facets")
LABELS = Settings(bootstraps=4)


def run_facets(folder: Path, judge: Judge, export: Path = EXAMPLE, **more: object) -> tuple[Outcome, ScriptedHelper]:
    helper = ScriptedHelper(judge)
    settings = msgspec.structs.replace(FACETS, **more)
    return discover_personas(export, Workspace(folder), settings, Quiet(), helper), helper


@pytest.fixture
def own(discovered, tmp_path) -> Path:
    """A workspace in which the offline stages are done."""
    shutil.copytree(discovered[1], tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def judged(discovered, tmp_path_factory) -> tuple[Outcome, Path, Judge, ScriptedHelper]:
    folder = tmp_path_factory.mktemp("judged") / "data"
    shutil.copytree(discovered[1], folder)
    judge = Judge()
    outcome, helper = run_facets(folder, judge)
    return outcome, folder, judge, helper


def facet_lines(folder: Path) -> list[ConversationFacets]:
    lines = Workspace(folder).conversation_facets.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=ConversationFacets) for line in lines]


def truth_of_messages(folder: Path) -> dict[str, str]:
    lines = Workspace(folder).all_messages.read_text("utf-8").splitlines()
    return {m["id"]: TRUTH[m["conversation_id"]] for m in map(json.loads, lines)}


def test_the_planted_modes_are_recovered_their_number_not_given(judged):
    outcome, folder, _, _ = judged
    truth = truth_of_messages(folder)
    assigned = outcome.discovery.analysis.assignments
    assert adjusted_rand_score(list(truth.values()), [str(assigned[i]) for i in truth]) >= 0.95
    assert {p.name for p in outcome.discovery.personas} == set(NAMES.values())
    assert all(p.stability >= 0.75 and p.exemplars and p.prompt.lines for p in outcome.discovery.personas)
    assert outcome.discovery.analysis.settings["modes"] == "facets"


def test_every_conversation_stands_in_the_tree_once_and_in_the_files(judged):
    outcome, folder, _, _ = judged
    tree = msgspec.json.decode(Workspace(folder).facet_hierarchy.read_bytes(), type=FacetHierarchy)
    ids = [i for top in tree.groups for base in top.children for i in base.conversations]
    assert sorted(ids) == sorted(TRUTH)
    assert [top.name for top in tree.groups] == [p.name for p in outcome.discovery.personas]
    assert all(len(top.children) >= 1 and top.description and top.named_by == "model" for top in tree.groups)
    assert {f.conversation for f in facet_lines(folder)} == set(TRUTH)
    assert tree.report.accepted == 47
    assert (tree.report.rejected, tree.report.asked_again, tree.report.unnamed) == (0, 0, 0)


def test_the_person_agrees_once_to_everything_that_is_asked(judged):
    _, _, judge, helper = judged
    [estimate] = helper.estimates
    assert estimate.calls >= len(judge.asked) == 47 + 6 + 4
    assert "47 conversations" in estimate.what


def test_both_ways_stand_beside_each_other(judged):
    outcome, folder, _, _ = judged
    c = outcome.comparison
    assert c == msgspec.json.decode(Workspace(folder).mode_comparison.read_bytes(), type=ModeComparison)
    assert [w.way for w in c.ways] == ["labels", "facets"]
    assert c.used == "facets"
    assert c.ari >= 0.95
    assert sum(map(sum, c.table)) == c.messages == 115
    assert c.grounding > 2 * c.grounding_chance
    page = Workspace(folder).report.read_text("utf-8")
    for told in ("Two ways of finding modes", *NAMES.values(), "Offline labels", "47 of 47 conversations"):
        assert told in page


def test_gold_is_held_against_both_ways(judged, tmp_path):
    _, folder, _, _ = judged
    gold = tmp_path / "gold.json"
    gold.write_text(json.dumps(truth_of_messages(folder)), "utf-8")
    c = evaluate_modes(Workspace(folder), gold)
    assert c.gold_messages == 115
    assert all(w.gold_ari >= 0.95 and w.gold_v >= 0.95 for w in c.ways)
    for bad, why in (("[1]", "message ids"), ("{}", "No message id"), (None, "cannot be read")):
        if bad is None:
            gold.unlink()
        else:
            gold.write_text(bad, "utf-8")
        with pytest.raises(UsageError, match=why):
            evaluate_modes(Workspace(folder), gold)


def test_switching_back_and_forth_asks_nothing_and_gives_the_same_bytes(judged, tmp_path, discovered):
    folder = tmp_path / "data"
    shutil.copytree(judged[1], folder)
    before = contents(folder)
    offline = discover_personas(EXAMPLE, Workspace(folder), LABELS, Quiet())
    assert offline.discovery == discovered[0].discovery, "personas are those of a run without a model"
    assert offline.comparison is not None, "the facets are still shown"
    assert "label" in offline.resumed
    judge = Judge()
    back, helper = run_facets(folder, judge)
    assert judge.asked == helper.estimates == []
    assert {"facets", "label", "cluster"} <= set(back.resumed)
    assert contents(folder) == before


def test_a_second_workspace_gets_the_same_bytes(judged, own):
    run_facets(own, Judge())
    mine, theirs = contents(own), contents(judged[1])
    for answers in (mine, theirs):  # the order in which answers came is the model's
        answers[".innercouncil/facet_answers.jsonl"] = sorted(answers[".innercouncil/facet_answers.jsonl"].splitlines())
    assert mine == theirs


def test_other_settings_leave_facets_of_other_settings_out_of_the_report(judged, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(judged[1], folder)
    other = discover_personas(EXAMPLE, Workspace(folder), msgspec.structs.replace(LABELS, seed=1), Quiet())
    assert other.comparison is None
    assert not Workspace(folder).mode_comparison.exists()
    judge = Judge()
    run_facets(folder, judge, seed=1)
    assert all("<<<group" in prompt for prompt in judge.asked), "what was said of conversations is not asked again"


def test_personas_from_facets_can_be_renamed_merged_split_and_undone(judged, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(judged[1], folder)
    ws = Workspace(folder)
    slugs = [p.slug for p in judged[0].discovery.personas]
    changed(ws, Change(action="merge", slug=slugs[0], other=slugs[1], value="Both Hands"))
    changed(ws, Change(action="split", slug=slugs[2]))
    after = rebuild_personas(ws, FACETS, Quiet())
    names = [p.name for p in after.discovery.personas]
    assert "Both Hands" in names
    assert len(names) == 4
    assert after.comparison is not None
    assert [m.name for m in after.comparison.ways[1].modes] == [p.name for p in judged[0].discovery.personas]


def test_clean_phrases_drawn_by_lot_are_not_shown_as_good(own):
    outcome, _ = run_facets(own, Judge(random_phrases))
    c = outcome.comparison
    assert c.ways[1].mean_stability == 0.0
    assert c.ways[1].verdict.startswith("No separate modes")
    assert c.grounding <= c.grounding_chance
    assert abs(c.ami) < 0.15
    assert outcome.discovery.analysis.verdict == c.ways[1].verdict
    assert outcome.discovery.analysis.found == 0
    assert {p.verdict for p in outcome.discovery.personas} == {"unstable"}
    assert "do not show in the messages" in Workspace(own).report.read_text("utf-8")


def test_words_drawn_by_lot_are_not_shown_as_good(own):
    outcome, _ = run_facets(own, Judge(random_words))
    facets = outcome.comparison.ways[1]
    assert facets.mean_stability < 0.6
    assert facets.verdict.startswith("No separate modes") or " 0 of them" in facets.verdict


def test_agreement_is_one_where_the_facets_say_what_the_labels_say(judged):
    c = judged[0].comparison
    assert (c.ari, c.ami) == (1.0, 1.0)
    assert sorted(n for row in c.table for n in row if n) == [24, 24, 28, 39]


def test_where_the_model_says_nothing_valid_the_offline_evidence_places_the_conversation(own):
    """Every fourth conversation gets nothing but nonsense, each kind of it at least once."""
    nonsense = [
        "not json",
        {"purpose": "repair"},
        {"purpose": "x", "task": "a b", "approach": "a b", "stance": "a"},
        *INJECTIONS,
    ]
    right, broken = Judge(), set[str]()

    def describe(prompt, rng):
        first = prompt.partition("[1] ")[2][:40]
        if sum(map(ord, first)) % 4 == 0:
            broken.add(first)
            return nonsense[(len(broken) + rng.randrange(3)) % len(nonsense)]
        return right.describe(prompt, rng)

    outcome, _ = run_facets(own, Judge(describe))
    report = outcome.comparison.hierarchy.report
    assert report.rejected == len(broken) >= 8
    assert report.accepted == 47 - len(broken)
    assert report.asked_again == len(broken)
    assert sum(report.reasons.values()) == report.rejected
    lacking = {f.conversation for f in facet_lines(own) if f.facets is None}
    assert len(lacking) == report.rejected
    truth, assigned = truth_of_messages(own), outcome.discovery.analysis.assignments
    assert all(assigned[i] for i in truth), "no message is lost"
    assert adjusted_rand_score(list(truth.values()), [str(assigned[i]) for i in truth]) >= 0.9
    for path in (own / "personas").rglob("*.json*"):
        if path.name in ("conversation_facets.jsonl", "facet_hierarchy.json", "mode_comparison.json"):
            assert not any(text[:60] in path.read_text("utf-8") for text in INJECTIONS)


def test_bad_names_are_counted_and_the_words_stand_instead(own):
    outcome, _ = run_facets(own, Judge(name=lambda _prompt: {"name": "<script>alert(1)</script>", "description": "x"}))
    report = outcome.comparison.hierarchy.report
    assert report.groups == report.unnamed == 10
    assert {g.named_by for g in outcome.comparison.hierarchy.groups} == {"terms"}
    assert "Software Builder" in {p.name for p in outcome.discovery.personas}, "personas get their offline names"
    assert "<script>alert" not in Workspace(own).report.read_text("utf-8")


def test_a_name_given_twice_is_used_once(own):
    same = {"name": "Everything At Once", "description": "Conversations in which the person does everything."}
    outcome, _ = run_facets(own, Judge(name=lambda _prompt: same))
    names = [p.name for p in outcome.discovery.personas]
    assert names.count("Everything At Once") == 1
    assert len(set(names)) == len(names) == 4


def test_interrupted_it_asks_only_for_what_is_missing(own):
    calls: list[int] = []

    def describe(prompt, rng):
        calls.append(1)
        if len(calls) > 20:
            raise BackendBusyError("busy")
        return Judge().describe(prompt, rng)

    with pytest.raises(BackendBusyError):
        run_facets(own, Judge(describe))
    kept = Workspace(own).facet_answers.read_bytes()
    lines = kept.splitlines(keepends=True)
    assert 16 <= len(lines) <= 20
    Workspace(own).facet_answers.write_bytes(kept[: -len(lines[-1]) + 30])  # killed in the middle of a line
    judge = Judge()
    _, helper = run_facets(own, judge)
    assert sum("<<<messages" in prompt for prompt in judge.asked) == 47 - len(lines) + 1
    assert f"{47 - len(lines) + 1} conversations" in helper.estimates[0].what


def test_who_says_no_is_asked_nothing_and_a_useless_model_is_told(own):
    judge = Judge()
    with pytest.raises(DeclinedError, match="without --modes facets"):
        discover_personas(EXAMPLE, Workspace(own), FACETS, Quiet(), ScriptedHelper(judge, yes=False))
    assert judge.asked == []
    with pytest.raises(NothingToDiscoverError, match="valid facets for 0 of 47"):
        run_facets(own, Judge(lambda _prompt, _rng: "no"))
    assert not Workspace(own).facet_hierarchy.exists()
    assert discover_personas(EXAMPLE, Workspace(own), LABELS, Quiet()).comparison is None


def test_personal_things_are_taken_out_before_texts_leave_the_machine(own, tmp_path):
    chats = json.loads(EXAMPLE.read_text("utf-8"))
    node = next(
        n for n in chats[0]["mapping"].values() if n.get("message") and n["message"]["author"]["role"] == "user"
    )
    node["message"]["content"]["parts"][0] += " Write to jo.doe@example.com about it."
    export = tmp_path / "conversations.json"
    export.write_text(json.dumps(chats), "utf-8")
    for remote in (True, False):
        judge = Judge()
        helper = ScriptedHelper(judge)
        helper.remote = remote  # type: ignore[misc]
        discover_personas(export, Workspace(tmp_path / str(remote)), FACETS, Quiet(), helper)
        assert any("jo.doe@example.com" in prompt for prompt in judge.asked) is not remote


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Eighteen conversations of the example, and a real model of random weights."""
    folder = tmp_path_factory.mktemp("small")
    export = folder / "conversations.json"
    export.write_text(json.dumps(json.loads(EXAMPLE.read_text("utf-8"))[:18]), "utf-8")
    return export, build_tiny_model(folder / "tiny.gguf")


def test_a_real_model_end_to_end_and_resumed(small, tmp_path):
    export, tiny = small
    folder = tmp_path / "data"
    model = ("--modes", "facets", "--llm", "embedded", "--llm-model", tiny, "--llm-budget", 0)
    asked = discover(export, folder, *model)
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert "18 conversations and up to" in asked.stderr
    first = discover(export, folder, *model, "--yes", "--json")
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    report = said["comparison"]["hierarchy"]["report"]
    assert report["accepted"] + report["rejected"] == report["conversations"] == 18
    assert said["model_labels"] is None
    assert f"described {report['accepted']} of 18 conversations" in first.stderr
    before, ws = facet_lines(folder), Workspace(folder)
    lines = ws.facet_answers.read_bytes().splitlines(keepends=True)
    extracted = [line for line in lines if b'"purpose"' in line]
    ws.facet_answers.write_bytes(b"".join(line for line in lines if line != extracted[-1]) + extracted[-1][:60])
    again = discover(export, folder, *model, "--yes", "--json", "--refresh")
    assert again.returncode == 0, again.stderr
    assert "asked about 1 conversation and up to" in again.stderr
    assert sum(a != b for a, b in zip(before, facet_lines(folder), strict=True)) <= 1, "what was kept is as it was"
    third = discover(export, folder, *model, "--yes", "--json")
    assert "will be asked" not in third.stderr
    assert json.loads(third.stdout)["resumed"] == ["read", "label", "cluster", "facets", "personas", "report"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--modes", "facets"), "add --llm"),
        (("--modes", "facets", "--llm", "cloud"), "--llm is ollama"),
        (("--modes", "vibes"), "vibes"),
        (("--llm", "embedded", "--llm-model", "x.gguf", "--llm-budget", 0), "no model file|nothing to do"),
    ],
)
def test_what_is_called_wrongly_is_told_in_a_sentence(args, told, tmp_path):
    result = discover(EXAMPLE, tmp_path / "data", *args)
    assert result.returncode == (1 if "x.gguf" in args else 2)
    assert any(t in result.stderr for t in told.split("|")), result.stderr
    assert "Traceback" not in result.stderr


def test_evaluate_modes_tells_it_in_the_terminal_and_as_json(judged, discovered):
    def evaluate(*args: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "innercouncil", "evaluate", "modes", *args]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)

    both = evaluate("--workspace", judged[1])
    assert both.returncode == 0, both.stderr
    assert "ARI 1.00, AMI 1.00" in both.stdout
    assert "Facets by a model (used)" in both.stdout
    alone = evaluate("--workspace", discovered[1], "--json")
    assert [w["way"] for w in json.loads(alone.stdout)["ways"]] == ["labels"]
    wrong = evaluate("--workspace", judged[1], "--gold", judged[1] / "nothing.json")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


class QueueingJudge(FaultyServer):
    """The judge behind a server that writes one answer at a time."""

    def __init__(self) -> None:
        super().__init__(0)
        self.judge, self.turn = Judge(), asyncio.Lock()

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        async with self.turn:
            await super()._answer(body, writer)

    def _text(self, body: dict[str, Any], fault: str) -> str:
        prompt = body["messages"][0]["content"]
        if "[1] " not in prompt and "<<<group" not in prompt:
            return "a probe of its speed"
        return json.dumps(
            name_for(prompt) if "<<<group" in prompt else self.judge.describe(prompt, random.Random(len(prompt)))
        )


def test_a_backend_that_is_known_to_queue_is_asked_stage_after_stage(own):
    workspace = Workspace(own)
    with beside(QueueingJudge()) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        database = Database(workspace.database)
        database.set(f"at_once:openai:{url}:any", "1")
        database.close()
        helper = HelperModel(workspace, f"{url}#any", agrees=lambda offer: True)
        try:
            outcome = discover_personas(EXAMPLE, workspace, FACETS, Quiet(), helper)
        finally:
            helper.release()
    assert {p.name for p in outcome.discovery.personas} == set(NAMES.values())
