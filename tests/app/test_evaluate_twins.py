"""app.evaluate_twins: personas compared by what a model says in their name, interrupted and from kept sessions."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

import pytest

from chosen_model import Speaker
from innercouncil.app.evaluate_twins import evaluate_kept, evaluate_twins, removal
from innercouncil.app.personas import create_persona
from innercouncil.council.deliberation import Deliberation
from innercouncil.model.card import PersonaCard
from innercouncil.model.council import (
    Answer,
    Answered,
    Ballot,
    Council,
    CouncilOptions,
    Finished,
    SessionRecord,
    Standing,
    Tally,
    Timing,
    Worker,
)
from innercouncil.model.errors import BackendUnreachableError, DeclinedError, NothingToDiscoverError, UsageError
from innercouncil.model.ports import ChatModel, ChatRequest, Chunk
from innercouncil.store.cards import CardStore
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace

SYSTEMS = {"Mender": "Speak like a craftsman.", "Fixer": "Talk in the way of artisans.", "Poet": "Sing of the sea."}
TOPICS = {"craftsman": "wood nail hammer bench saw glue plane chisel", "artisans": "wood nail hammer bench saw glue plane chisel",
          "sea": "wave foam gull salt tide moon drift shell"}  # fmt: skip
NOW = Timing(started=0, first_token=1, finished=2)


class Crowd(Speaker):
    """Speaks as it is told: craftsmen and artisans have the same words, poets others."""

    def __init__(self, **more: int) -> None:
        super().__init__(self.words, name="crowd", **more)
        self.asked = Counter[str]()

    def words(self, request: ChatRequest) -> str:
        system, question = (t.content for t in request.turns)
        self.asked[f"{system} {question} {request.seed}"] += 1
        words = next(w for key, w in TOPICS.items() if key in system).split()
        return " ".join(random.Random(request.seed).choices([*words, *question.split()], k=40))


def quiet(_title: str) -> Callable[[int, int], None]:
    return lambda _done, _total: None


def seated(folder: Path) -> Workspace:
    workspace = Workspace(folder)
    workspace.prepare()
    database = Database(workspace.database)
    for name, system in SYSTEMS.items():
        create_persona(CardStore(database), PersonaCard(name=name, system=system))
    database.close()
    return workspace


def test_two_prompts_a_model_cannot_tell_apart_are_found_and_the_third_persona_is_cleared(tmp_path: Path) -> None:
    report = evaluate_twins(seated(tmp_path), model=Crowd(), questions=18, samples=4, stage=quiet)
    found = {frozenset((p.one, p.other)): p for p in report.pairs}
    twins = found[frozenset(("mender", "fixer"))]
    assert twins.verdict == "twins", twins
    assert twins.remedy == "train an adapter"
    assert "their prompts differ" in twins.advice
    for other in ("mender", "fixer"):
        cleared = found[frozenset((other, "poet"))]
        assert (cleared.verdict, cleared.remedy) == ("distinct", "none")
        assert cleared.ratio is not None
        assert cleared.ratio.low > 1
    assert report.pairs[0] == twins, "the most alike first"
    assert report.attribution.low > report.chance
    assert (report.questions, report.samples) == (18, 3 * 18 * 4)


def test_a_run_cut_off_goes_on_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    workspace = seated(tmp_path)
    broken = Crowd(fails_after=20)
    with pytest.raises(BackendUnreachableError):
        evaluate_twins(workspace, model=broken, questions=6, samples=2, stage=quiet)
    samples = workspace.stamps / "twin_samples.jsonl"
    samples.write_bytes(samples.read_bytes()[:-9])  # as a kill leaves it
    rest = Crowd()
    report = evaluate_twins(workspace, model=rest, questions=6, samples=2, stage=quiet)
    assert rest.estimates[0].calls == 36 - 19
    assert max(rest.asked.values()) == 1
    again = Crowd()
    assert evaluate_twins(workspace, model=again, questions=6, samples=2, stage=quiet) == report
    assert not again.asked
    assert not again.estimates, "nobody is asked for what is there"


def test_without_a_yes_nothing_is_asked(tmp_path: Path) -> None:
    model = Crowd(yes=False)
    with pytest.raises(DeclinedError):
        evaluate_twins(seated(tmp_path), model=model, questions=6, samples=2, stage=quiet)
    assert not model.asked


def test_one_persona_has_no_twin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two personas"):
        evaluate_twins(seated(tmp_path), model=Crowd(), personas=["poet"], stage=quiet)


def test_a_model_that_says_nothing_is_told(tmp_path: Path) -> None:
    class Mute(Crowd):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
            yield Chunk(finish="stop")

    with pytest.raises(NothingToDiscoverError, match="0 of 3 personas"):
        evaluate_twins(seated(tmp_path), model=Mute(), questions=6, samples=2, stage=quiet)


def test_a_name_is_no_voice(tmp_path: Path) -> None:
    class Announcer(Crowd):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
            own = next(n for n, system in SYSTEMS.items() if system == request.turns[0].content)
            words = random.Random(request.seed).choices(TOPICS["sea"].split(), k=40)
            yield Chunk(f"As the {own}, I say: {' '.join(words)}. Thus spoke the {own.upper()}.")

    report = evaluate_twins(seated(tmp_path), model=Announcer(), questions=12, samples=3, stage=quiet)
    assert all(p.verdict != "distinct" for p in report.pairs)


class Dice:
    """A model that heeds nothing but its random numbers."""

    name = "dice"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        yield Chunk(" ".join(random.Random(request.seed).choices("abcdefghijklmn", k=60)))
        yield Chunk(finish="stop")


def deliberated(
    workspace: Workspace,
    seeds: Sequence[int],
    names: Sequence[str] = ("Mender", "Poet"),
    model: ChatModel | None = None,
) -> None:
    """A session of these seats for each seed, held as the house holds it."""
    workers = tuple(
        Worker(seat=n, slug=name.lower(), name=name, system=SYSTEMS.get(name, name), temperature=0.7)
        for n, name in enumerate(names)
    )
    speaks = model or Dice()
    database = Database(workspace.database)
    store = SessionStore(database)

    async def hold() -> None:
        for n, seed in enumerate(seeds):
            council = Council(
                question=f"Question {n}?", workers=workers, worker_model="m", synthesizer_model="m",
                options=CouncilOptions(seed=seed),
            )  # fmt: skip
            session = store.begin(council)
            async for event in Deliberation(session, council, speaks, speaks).events():
                store.record(session, event)

    asyncio.run(hold())
    database.close()


def test_seats_told_by_their_random_numbers_alone_are_not_distinct(tmp_path: Path) -> None:
    """A seat draws the same numbers in every session of a seed: a random model says the same in all of them."""
    workspace = seated(tmp_path)
    deliberated(workspace, [0] * 12)
    report = evaluate_kept(workspace, stage=quiet)
    [pair] = report.pairs
    assert (pair.questions, pair.independent, pair.verdict) == (12, 1, "not sure")
    assert (pair.attribution.low, pair.attribution.high, pair.swapped) == (0.0, 1.0, 1.0)
    assert any("too few seeds" in note for note in report.notes)


def test_with_a_seed_of_their_own_each_the_same_seats_are_one(tmp_path: Path) -> None:
    workspace = seated(tmp_path)
    deliberated(workspace, range(30))
    report = evaluate_kept(workspace, stage=quiet)
    [pair] = report.pairs
    assert (pair.independent, pair.verdict) == (30, "twins")
    assert not any("too few seeds" in note for note in report.notes)


class Judges:
    """Answers have a merit; everybody ranks by it, but the Rebel turns the two best round."""

    name = "judges"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        asked = request.turns[-1].content
        if request.schema is None:
            merit = {"Best": 4, "Rival": 3, "Rebel": 2, "Last": 1}.get(request.turns[0].content, 0)
            yield Chunk(f"Of merit {merit}.")
        else:
            merits = re.findall(r"answer ([A-Z]) =====\nOf merit (\d)", asked)
            order = [letter for letter, _ in sorted(merits, key=lambda m: m[1], reverse=True)]
            if "with the eyes of: Rebel" in asked:
                order[:2] = order[1::-1]
            yield Chunk(json.dumps({"reason": "merit", "ranking": " > ".join(order)}))
        yield Chunk(finish="stop")


def test_leaving_one_out_of_sessions_that_were_held(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.prepare()
    database = Database(workspace.database)
    names = ("Best", "Rival", "Rebel", "Last")
    for name in names:
        create_persona(CardStore(database), PersonaCard(name=name, system=name))
    database.close()
    deliberated(workspace, range(6), names, Judges())
    found = {r.persona: r for r in evaluate_kept(workspace, stage=quiet).removals}
    assert {r.sessions for r in found.values()} == {6}
    told = {slug: (r.wins.value, r.changes.value, r.swings.value) for slug, r in found.items()}
    # Best and Rival tie: without the Rebel's ballot Best wins alone, without the last one's Rival does.
    assert told == {"best": (1, 0, 0), "rival": (1, 0, 0), "rebel": (0, 1, 1), "last": (0, 1, 1)}


def test_enough_is_enough_newest_first_and_who_is_seldom_seated_keeps_its_older_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("innercouncil.app.evaluate_twins.ENOUGH", 6)
    workspace = seated(tmp_path)
    database = Database(workspace.database)
    store = SessionStore(database)
    both = {"Mender": "nail the bench", "Fixer": "plane the bench"}
    for n in range(30):
        kept(store, f"Question {n}?", both | ({"Poet": "gulls"} if n < 20 and not n % 3 else {}), seed=n)
    database.close()
    report = evaluate_kept(workspace, stage=quiet)
    answers = Counter(slug for b in report.sessions for slug in b.compared)
    # Questions 29 to 24 are enough for two; the Poet's are 18, 15, 12, 9, 6 and 3, and of 0 there are six already.
    assert answers == {"mender": 12, "fixer": 12, "poet": 6}
    assert report.samples == 30
    assert any("18 older sessions are not compared" in note for note in report.notes)


def test_a_question_asked_again_with_the_same_seed_is_no_second_sample(tmp_path: Path) -> None:
    workspace = seated(tmp_path)
    database = Database(workspace.database)
    store = SessionStore(database)
    said = dict.fromkeys(SYSTEMS, "word for word")
    for _ in range(2):
        for n in range(6):
            kept(store, f"Question {n}?", said, seed=n)
    for n in range(6):
        kept(store, f"Question {n}?", said, seed=n + 100)
    database.close()
    assert evaluate_kept(workspace, stage=quiet).samples == 3 * 6 * 2


def kept(
    store: SessionStore, question: str, texts: dict[str, str], systems: dict[str, str] = SYSTEMS, seed: int = 0
) -> None:
    workers = tuple(
        Worker(seat=n, slug=name.lower(), name=name, system=systems[name], temperature=0.7)
        for n, name in enumerate(texts)
    )
    council = Council(
        question=question, workers=workers, worker_model="m", synthesizer_model="m", options=CouncilOptions(seed=seed)
    )
    session = store.begin(council)
    for worker in workers:
        answer = Answer(part="council", seat=worker.seat, round=0, text=texts[worker.name], status="ok", timing=NOW)
        store.record(session, Answered(answer))
    store.record(session, Finished("done"))


def test_kept_sessions_are_compared_where_there_are_enough(tmp_path: Path) -> None:
    workspace = seated(tmp_path)
    with pytest.raises(NothingToDiscoverError, match="run-questions"):
        evaluate_kept(workspace, stage=quiet)
    database = Database(workspace.database)
    store = SessionStore(database)
    for n in range(12):
        draw = random.Random(n)
        said = {
            name: " ".join(draw.choices(words.split(), k=40))
            for name, words in zip(SYSTEMS, TOPICS.values(), strict=True)
        }
        kept(store, f"Question {n}?", said, seed=n)
    kept(store, "An old prompt?", dict.fromkeys(SYSTEMS, "the same"), dict.fromkeys(SYSTEMS, "An older prompt."))
    database.close()
    report = evaluate_kept(workspace, stage=quiet)
    assert report.questions == 12, "answers of older prompts are left out"
    verdicts = {frozenset((p.one, p.other)): (p.verdict, p.ratio) for p in report.pairs}
    assert verdicts[frozenset(("mender", "poet"))] == ("distinct", None)
    assert verdicts[frozenset(("mender", "fixer"))][0] != "distinct"
    assert any("no ratio" in note for note in report.notes)
    assert [b.compared for b in report.sessions] == [("mender", "fixer", "poet")] * 12, (
        "the sessions behind it are named"
    )


def voted(winners: tuple[int, ...], rankings: dict[int, tuple[int, ...]]) -> SessionRecord:
    workers = tuple(Worker(seat=n, slug=f"p{n}", name=f"P{n}", system="s", temperature=0.7) for n in range(4))
    ballots = tuple(
        Ballot(part="council", voter=v, shown=tuple(s for s in range(4) if s != v), ranking=r, timing=NOW)
        for v, r in rankings.items()
    )
    standing = Standing(seat=winners[0], score=1.0, ballots=3, firsts=3, spread=0.0, place=1)
    return SessionRecord(
        id="0" * 32, created_at="", status="done",
        council=Council(question="?", workers=workers, worker_model="m", synthesizer_model="m"), ballots=ballots,
        answers=tuple(Answer(part="council", seat=n, round=0, text="x", status="ok", timing=NOW) for n in range(4)),
        tallies=(Tally(part="council", method="borda", standings=(standing,), winners=winners, dissent=None, best=winners),),
    )  # fmt: skip


def test_leaving_one_out_counts_the_votes_again() -> None:
    clear = voted((0,), {0: (1, 2, 3), 1: (0, 2, 3), 2: (0, 1, 3), 3: (0, 1, 2)})
    winner, loser = removal("p0", [clear]), removal("p3", [clear])
    assert (winner.wins.value, winner.changes.value, winner.swings.value) == (1.0, 1.0, 0.0)
    assert (loser.wins.value, loser.changes.value, loser.sessions) == (0.0, 0.0, 1)
    close = voted((1,), {0: (2, 1, 3), 1: (0, 2, 3), 2: (0, 1, 3), 3: (1, 2, 0)})
    assert removal("p3", [close]).swings.value == 1.0, "its ballot made 1 win"
    silent = voted((0, 1, 2, 3), dict.fromkeys(range(4), ()))
    assert removal("p0", [silent]).sessions == 0, "nobody voted"
    assert removal("nobody", [clear]).sessions == 0
