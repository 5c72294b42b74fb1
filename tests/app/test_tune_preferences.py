"""app.tune_preferences: votes in council.db as rows, redacted and held out by question; app.tune_continue: what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from innercouncil.app.council import House
from innercouncil.app.tune_continue import check_continuing
from innercouncil.app.tune_preferences import export_preferences
from innercouncil.model.ab import AbOptions, AbTest, SideAnswer, Trial, Variant
from innercouncil.model.card import PersonaCard
from innercouncil.model.council import Answer, Answered, Council, Exchange, Finished, Timing, Worker
from innercouncil.model.errors import UsageError
from innercouncil.model.training import Wish
from innercouncil.store.ab_tests import AbStore
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.hardware import look
from tiny_adapter import row, trained

NOW = Timing(started=0, first_token=1, finished=2)
SLUGS = ("mender", "doubter", "poet")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(Workspace(tmp_path / "data"))
    for slug in SLUGS:
        house.cards.add(PersonaCard(name=slug.title(), system=f"You are the {slug}."), slug, "created")
    yield house
    house.backends.stop()
    house.database.close()


def worker(slug: str, seat: int = 0) -> Worker:
    return Worker(seat=seat, slug=slug, name=slug.title(), system="An older prompt.", temperature=0.7)


def session(house: House, question: str, tiers: list[list[int]], *, cut: tuple[int, ...] = (), history: tuple[Exchange, ...] = ()) -> None:  # fmt: skip
    workers = tuple(worker(slug, seat) for seat, slug in enumerate(SLUGS))
    council = Council(
        question=question, workers=workers, worker_model="tiny", synthesizer_model="tiny", history=history
    )
    id_ = house.sessions.begin(council, None, owner="")
    for w in workers:
        text = f"{w.slug} says of {question} write to me at {w.slug}@example.org"
        answer = Answer(
            part="council", seat=w.seat, round=0, text=text, status="cut" if w.seat in cut else "ok", timing=NOW
        )
        house.sessions.record(id_, Answered(answer))
    house.sessions.record(id_, Finished("done"))
    house.vote(id_, tiers, blind=True)


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def both(report: Any) -> list[dict[str, Any]]:
    return rows(report.file) + (rows(report.eval_file) if report.eval_file else [])


def test_won_votes_become_pairs_under_the_present_prompt_without_personal_data(house: House) -> None:
    for n in range(20):
        session(house, f"Question {'abcdefghijklmnopqrst'[n]}?", [[0], [1], [2]])
    session(house, "Lost?", [[1], [0, 2]])
    session(house, "Tied?", [[0, 1, 2]])
    session(house, "Cut?", [[0], [1, 2]], cut=(0,))
    session(house, "And then?", [[0], [1, 2]], history=(Exchange("before", "said"),))
    report = export_preferences(house, "mender", "dpo")
    found = both(report)
    assert len(found) == report.rows + report.held_out == 20
    assert report.held_out == len(rows(report.eval_file)) > 0
    assert all(r["prompt"][0] == {"role": "system", "content": "You are the mender."} for r in found)
    assert all(r["chosen"][0]["content"].startswith("mender says") and r["rejected"][0]["content"].startswith("doubter says") for r in found)  # fmt: skip
    assert "example.org" not in json.dumps(found)
    assert sum(report.redacted.values()) == 40
    assert report.left_out == {
        "all answers were tied": 1, "an answer was cut off, or spoke to the judges": 1, "the persona's answer lost": 1,
        "the question does not stand by itself": 1,
    }  # fmt: skip
    assert any("another persona's" in note for note in report.notes)
    before = Path(report.file).read_bytes()
    export_preferences(house, "mender", "dpo")
    assert Path(report.file).read_bytes() == before


def test_lost_votes_teach_only_that_the_own_answer_was_not_liked(house: House) -> None:
    session(house, "Won?", [[0], [1], [2]])
    session(house, "Lost?", [[1], [2], [0]])
    session(house, "Middle?", [[1], [0], [2]])
    found = both(export_preferences(house, "mender", "kto"))
    assert sorted((r["completion"][0]["content"].split()[3], r["label"]) for r in found) == [
        ("Lost?", False),
        ("Won?", True),
    ]
    assert {r["completion"][0]["content"].split()[0] for r in found} == {"mender"}


def test_a_test_of_two_of_its_prompts_gives_pairs_of_its_own(house: House) -> None:
    sides = [Variant(kind="persona", name=f"mender@{n}", workers=(worker("mender"),)) for n in (1, 2)]
    questions = tuple(f"Question {letter}?" for letter in "abc")
    store = AbStore(house.database)
    store.add(AbTest(name="two", a=sides[0], b=sides[1], worker_model="tiny", synthesizer_model="tiny", options=AbOptions(), questions=questions))  # fmt: skip
    for n, (choice, first) in enumerate((("first", "b"), ("second", "b"), ("tie", "a")), 1):
        said = [SideAnswer(text=f"{side} to {n}", milliseconds=1) for side in "ab"]
        store.put("two", Trial(number=n, question=questions[n - 1], first=first, a=said[0], b=said[1]))  # type: ignore[arg-type]
        store.vote("two", n, choice)  # type: ignore[arg-type]
    report = export_preferences(house, "mender", "dpo")
    assert sorted((r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in both(report)) == [("a to 2", "b to 2"), ("b to 1", "a to 1")]  # fmt: skip
    assert (report.own, report.sources, report.left_out) == (2, {"ab": 2}, {"all answers were tied": 1})
    with pytest.raises(UsageError, match="No vote of yours gives a row for poet"):
        export_preferences(house, "poet", "dpo")


def test_what_cannot_be_continued_is_refused(house: House, tmp_path: Path) -> None:
    session(house, "Won?", [[0], [1], [2]])
    file = Path(export_preferences(house, "mender", "dpo", held_out=0).file)
    hardware = look("cpu", measure=False)
    with pytest.raises(UsageError, match="not the folder of an adapter of ours"):
        check_continuing(house.workspace, tmp_path, file, Wish(), hardware)
    folder = trained(house.workspace.root, "mender", [row("q", "a")], [row("h", "b")])
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (folder / name).write_bytes(b"{}")
    with pytest.raises(UsageError, match="say where it is with --base-model DIR"):
        check_continuing(house.workspace, folder, file, Wish(), hardware)
    with pytest.raises(UsageError, match="another model"):
        check_continuing(house.workspace, folder, file, Wish(base_model="qwen2.5:0.5b"), hardware)
