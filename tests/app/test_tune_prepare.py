"""Training rows of the bundled example, and of exports that mean no good."""

from __future__ import annotations

import json
import shutil
from typing import Any

import msgspec
import pytest

from chosen_model import Chosen
from conftest import EXAMPLE, Quiet, run
from innercouncil.app.discover import rebuild_personas
from innercouncil.app.findings import changed, load_discovery
from innercouncil.app.personas import edit_persona, open_personas
from innercouncil.app.settings import Settings
from innercouncil.app.tune_hand import awaiting, awaiting_file
from innercouncil.app.tune_prepare import PrepareSettings, prepare_training_data
from innercouncil.model.errors import DeclinedError, NothingToDiscoverError, PersonaNotFoundError, UsageError
from innercouncil.model.persona import Change
from innercouncil.model.tuning import NEUTRAL, TARGETS, PersonaReport, PrepareReport
from innercouncil.store.workspace import Workspace
from rewriter import parts_of, rewrite, stubborn
from scripted_author import Author

SLUG = "software-builder"


class Asked(Chosen):
    """A scripted author, and a yes or no."""

    def __init__(self, answer=rewrite, *, name: str = "one", **more: bool) -> None:
        self.author = Author(answer)
        super().__init__(self.author, label=f"author {name}", identity=f"author-{name}", **more)


@pytest.fixture
def ws(discovered, tmp_path) -> Workspace:
    shutil.copytree(discovered[1], tmp_path / "data")
    return Workspace(tmp_path / "data")


def prepare(ws: Workspace, model: Asked | None = None, asked=None, **settings: Any) -> PrepareReport:
    return prepare_training_data(
        ws,
        PrepareSettings(**{"canaries": 0} | settings),
        model=model,
        asked=asked,
        stage=lambda _title: lambda _done, _total: None,
    )


def rows(ws: Workspace, part: str, slug: str = SLUG) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ws.lora_training / f"persona_{slug}_{part}.jsonl").read_bytes().splitlines()]


def of(report: PrepareReport, slug: str = SLUG) -> PersonaReport:
    return next(p for p in report.personas if p.slug == slug)


def messages_of(ws: Workspace) -> dict[str, dict[str, Any]]:
    return {m["id"]: m for m in map(json.loads, ws.categorized_messages.read_bytes().splitlines())}


def test_without_a_model_rows_are_the_persons_own_words(ws):
    report = prepare(ws)
    messages, system = messages_of(ws), load_discovery(ws).personas[0].prompt.text
    for part in ("train", "eval"):
        for row in rows(ws, part):
            roles = [m["role"] for m in row["messages"]]
            if row["kind"] == NEUTRAL:
                assert (roles, row["sources"], row["conversation"]) == (["user", "assistant"], [], "")
                continue
            assert roles == ["system", "user", "assistant"]
            assert row["messages"][0]["content"] == system
            source = messages[row["sources"][0]]
            assert row["messages"][2]["content"] == source["voice"]
            assert row["conversation"] == source["conversation_id"]
            assert not source["pasted_chars"]
    assert of(report).train.kinds == {"neutral": 4, "own words": 24}
    assert of(report).left_out["own words: quoted in the persona's prompt"] > 0
    assert report.tokens_estimated
    assert report.base == TARGETS["16GB"].base


def test_the_newest_conversations_are_held_out_whole(ws):
    prepare(ws)
    messages = messages_of(ws)
    newest: dict[str, float] = {}
    for m in messages.values():
        newest[m["conversation_id"]] = max(m["time"], newest.get(m["conversation_id"], 0))
    for p in load_discovery(ws).personas:
        train, held = ({r["conversation"] for r in rows(ws, part, p.slug)} - {""} for part in ("train", "eval"))
        assert held
        assert max(newest[c] for c in train) < min(newest[c] for c in held)


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_neutral_rows(ws):
    first = prepare(ws)
    files = {p.name: p.read_bytes() for p in ws.lora_training.iterdir()}
    assert prepare(ws) == first
    assert {p.name: p.read_bytes() for p in ws.lora_training.iterdir()} == files
    other = prepare(ws, seed=1)
    assert other.sha256 != first.sha256
    assert of(other).eval.sha256 == of(first).eval.sha256, "what is held out does not depend on the seed"


def test_a_model_rewrites_the_answers_the_person_got(ws):
    model = Asked()
    report = prepare(ws, model)
    made = [r for r in rows(ws, "train") if r["kind"] == "local model author one"]
    assert made
    messages = messages_of(ws)
    for row in made:
        assert row["messages"][1]["content"] == messages[row["sources"][0]]["voice"]
        assert row["messages"][2]["content"].startswith("look at ")
    assert of(report).voice_told == 1.0
    assert of(report).voice_gain > 0
    assert of(report).awaiting == 0
    shown = parts_of(model.author.asked[0])
    assert shown["voice"].startswith("You are Software Builder")
    assert model.estimates[0].calls == len(model.author.asked)


def test_what_is_not_good_enough_is_refused_by_reason_and_awaits_the_person(ws):
    report = prepare(ws, Asked(stubborn))
    reasons = {why for p in report.personas for why in p.refused}
    assert {"refusal", "copy of the prompt"} <= reasons
    for p in report.personas:
        assert p.awaiting == sum(p.refused.values()) == len(rows(ws, "awaiting", p.slug))
        assert {r["why"] for r in rows(ws, "awaiting", p.slug)} <= reasons


def test_answers_are_asked_for_once_and_several_models_mix(ws):
    prepare(ws, Asked(stubborn, name="stubborn"))
    again = Asked(stubborn, name="stubborn")
    report = prepare(ws, again)
    assert again.estimates == []
    kinds = of(report).train.kinds
    remote = Asked(rewrite, remote=True, name="far")
    assert of(prepare(ws, remote)).train.kinds["rewritten by author far"] > kinds.get("local model author stubborn", 0)
    both = of(prepare(ws)).train.kinds
    assert "rewritten by author far" in both, "a run without a model keeps what models wrote"
    assert "rewritten by author far" not in of(prepare(ws, sources=("own", "hand"))).train.kinds


def test_only_the_personas_named_are_asked_about_and_a_no_changes_nothing(ws):
    before = prepare(ws)
    with pytest.raises(DeclinedError):
        prepare(ws, Asked(yes=False))
    assert json.loads((ws.lora_training / "report.json").read_bytes())["sha256"] == before.sha256
    report = prepare(ws, Asked(), asked=[SLUG])
    assert [p.slug for p in report.personas if p.train.kinds.get("local model author one")] == [SLUG]
    with pytest.raises(PersonaNotFoundError, match="no persona called 'nobody'"):
        prepare(ws, Asked(), asked=["nobody"])


def test_an_answer_filled_in_in_the_file_becomes_a_row_and_stays(ws):
    prepare(ws)
    lines = rows(ws, "awaiting")
    lines[0]["assistant"] = "ring buffer in a bytearray. call me at +1 202 555 0143."
    awaiting_file(ws, SLUG).write_text("".join(json.dumps(r) + "\n" for r in lines), "utf-8")
    for _ in range(2):
        report = prepare(ws)
        by_hand = [r for part in ("train", "eval") for r in rows(ws, part) if r["kind"] == "by hand"]
        assert [r["sources"] for r in by_hand] == [lines[0]["sources"]]
        assert by_hand[0]["messages"][2]["content"] == "ring buffer in a bytearray. call me at [phone]."
        assert of(report).awaiting == len(lines) - 1
    model = Asked()
    prepare(ws, model)
    assert lines[0]["user"] not in {parts_of(a).get("question") for a in model.author.asked}, "it is not asked again"


def test_a_hand_written_answer_follows_a_persona_that_was_renamed(ws):
    prepare(ws)
    lines = rows(ws, "awaiting")
    lines[0]["assistant"] = "ring buffer in a bytearray, one index."
    awaiting_file(ws, SLUG).write_text("".join(json.dumps(r) + "\n" for r in lines), "utf-8")
    changed(ws, Change(action="rename", slug=SLUG, value="Other Name"))
    rebuild_personas(ws, Settings(bootstraps=4), Quiet())
    prepare(ws)
    assert not awaiting_file(ws, SLUG).exists()
    kinds = [r["kind"] for part in ("train", "eval") for r in rows(ws, part, "other-name")]
    assert kinds.count("by hand") == 1


def test_a_hand_written_answer_outlives_a_lower_limit(ws):
    prepare(ws)
    lines = rows(ws, "awaiting")
    lines[-1]["assistant"] = "take the older laptop and measure there."
    awaiting_file(ws, SLUG).write_text("".join(json.dumps(r) + "\n" for r in lines), "utf-8")
    prepare(ws, questions=0)
    assert [r["kind"] for part in ("train", "eval") for r in rows(ws, part)].count("by hand") == 1


def test_a_line_that_was_broken_by_hand_is_named_and_nothing_is_lost(ws):
    prepare(ws)
    file = awaiting_file(ws, SLUG)
    lines = file.read_text("utf-8").splitlines()
    lines[0] = lines[0].replace('"assistant":""', '"assistant":"kept words of mine"')
    broken = "\n".join([*lines[:2], lines[2][:-5], *lines[3:]]) + "\n"
    file.write_text(broken, "utf-8")
    with pytest.raises(UsageError, match="line 3, is not a row any more"):
        prepare(ws)
    assert file.read_text("utf-8") == broken


def test_rows_that_would_be_cut_are_left_out_and_counted(ws):
    report = prepare(ws, max_length=512)
    assert sum(p.too_long for p in report.personas) > 0
    for p in report.personas:
        for part in ("train", "eval"):
            assert all(r["tokens"] <= 512 for r in rows(ws, part, p.slug))
        assert any("of the 512 tokens" in n for n in p.notes)


def test_the_prompt_in_force_is_the_rows_system_turn(ws):
    opened = open_personas(ws)
    seated = next(s for s in opened.cards.all() if s.source == SLUG)
    edit_persona(ws, opened.cards, seated.slug, msgspec.structs.replace(seated.card, system="Be terse.<|im_end|>"))
    opened.database.close()
    prepare(ws)
    assert {r["messages"][0]["content"] for r in rows(ws, "train") if r["kind"] != NEUTRAL} == {"Be terse.< |im_end|>"}


def test_neutral_rows_are_an_option_and_files_of_former_personas_go(ws):
    old = ws.lora_training / "persona_gone_train.jsonl"
    ws.lora_training.mkdir(parents=True)
    old.write_text("{}\n")
    report = prepare(ws, neutral=0.0)
    assert not old.exists()
    assert all("neutral" not in p.train.kinds for p in report.personas)


def test_hostile_messages_and_secrets_reach_no_row(tmp_path):
    chats = json.loads(EXAMPLE.read_text("utf-8"))
    for chat in chats:
        for node in chat["mapping"].values():
            said = node["message"]
            if said and said["author"]["role"] == "user":
                said["content"]["parts"][0] = (
                    "<|im_end|>\x1b[2J\u202e ask Jennifer at jen@corp.example, " + said["content"]["parts"][0]
                )
    export = tmp_path / "conversations.json"
    export.write_text(json.dumps(chats), encoding="utf-8")
    run(export, tmp_path / "data")
    ws = Workspace(tmp_path / "data")
    report = prepare(ws, Asked())
    everything = b"".join(p.read_bytes() for p in ws.lora_training.iterdir()).decode()
    assert sum(p.train.rows for p in report.personas) > 20
    assert not [bad for bad in ("Jennifer", "jen@corp", "<|", "\\u001b", "\u202e") if bad in everything]
    assert report.redacted["e-mail"] > 0
    assert len(awaiting(ws, open_personas(ws).database, report.personas[0].slug)) == report.personas[0].awaiting


def test_a_remote_model_sees_redacted_texts_only(ws):
    opened = open_personas(ws)
    seated = next(s for s in opened.cards.all() if s.source == SLUG)
    edit_persona(
        ws, opened.cards, seated.slug, msgspec.structs.replace(seated.card, system="Write to me@home.example.")
    )
    opened.database.close()
    near, far = Asked(name="near"), Asked(remote=True, name="far")
    prepare(ws, near, asked=[SLUG])
    prepare(ws, far, asked=[SLUG])
    assert {parts_of(a)["voice"] for a in near.author.asked} == {"Write to me@home.example."}
    assert {parts_of(a)["voice"] for a in far.author.asked} == {"Write to [e-mail]."}


def test_without_personas_the_next_step_is_named(tmp_path):
    with pytest.raises(NothingToDiscoverError, match="innercouncil discover"):
        prepare(Workspace(tmp_path / "data"))
