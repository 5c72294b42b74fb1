"""The part of the HTTP API in which two variants are tested blind: whose an answer is stays here until the vote."""

from __future__ import annotations

import msgspec
from starlette.requests import Request

from innercouncil.app import ab_tests
from innercouncil.app.council import House
from innercouncil.model.ab import AbOptions, Choice, Cost, Need, Outcome, SideName, Trial, Verdict
from innercouncil.model.errors import UsageError
from innercouncil.store.ab_tests import AbStore
from innercouncil.web.api import NUMBER, TABLE, JobOut, jobs_of, whole
from innercouncil.web.jobs import JobWatcher

PAIRS = 20
"""Pairs of a page."""


class AbListed(msgspec.Struct):
    """A test of the list."""

    name: str
    made_at: str
    asked: int
    running: bool


class AbListOut(msgspec.Struct):
    """All tests; `bundled` questions come with innercouncil."""

    tests: list[AbListed]
    bundled: int


class AbStart(msgspec.Struct, forbid_unknown_fields=True):
    """A test to begin; without questions the bundled ones are asked."""

    name: str
    a: ab_tests.VariantSpec
    b: ab_tests.VariantSpec
    questions: list[str] = []
    alpha: float = AbOptions().alpha
    max_votes: int = AbOptions().max_votes
    answer_tokens: int = AbOptions().answer_tokens
    seed: int = 0


class BlindTrial(msgspec.Struct):
    """A question and two answers, nobody's until the vote."""

    number: int
    question: str
    answers: tuple[str, str]


class AbSide(msgspec.Struct):
    """A side and what its answers cost."""

    name: str
    cost: Cost


class AbStatus(msgspec.Struct):
    """Where a test stands."""

    a: AbSide
    b: AbSide
    words: str
    verdict: Verdict
    power: list[Need]
    alpha: float
    model: str


class AbOut(msgspec.Struct):
    """A test; while a question waits for its vote there is no status, and so nobody's name."""

    name: str
    running: bool
    asked: int
    questions: int
    waiting: BlindTrial | None
    status: AbStatus | None


class AbPair(msgspec.Struct):
    """A pair that was voted on, or that needed no vote."""

    number: int
    question: str
    voted_at: str
    first: SideName
    """The side that was shown first."""
    outcome: Outcome
    same: bool
    """Both said the same, word for word."""
    a: str
    b: str


class AbPairsOut(msgspec.Struct):
    """A page of a test's pairs, newest first; `next` is `before` of the next page."""

    a: str
    b: str
    pairs: list[AbPair]
    next: int | None
    total: int


class AbVote(msgspec.Struct, forbid_unknown_fields=True):
    """A vote on the open question."""

    number: int
    choice: Choice


class AbQuestions(msgspec.Struct, forbid_unknown_fields=True):
    """Questions to add."""

    questions: list[str]


@TABLE.add("GET", "/api/ab", "A/B tests, newest first", returns=AbListOut)
async def list_ab(house: House, _request: Request) -> AbListOut:
    """The tests without what they compare."""
    store = AbStore(house.database)
    listed = []
    for test in store.all():
        found = ab_tests.report(house, test.name)
        listed.append(AbListed(test.name, test.made_at, found.asked, _running(found)))
    return AbListOut(listed, len(ab_tests.bundled_questions()))


@TABLE.add("POST", "/api/ab", "Begin an A/B test", body=AbStart, returns=AbOut, status=201)
async def start_ab(house: House, _request: Request, body: AbStart) -> AbOut:
    """A test of two variants."""
    asked = [q for q in body.questions if q.strip()] or ab_tests.bundled_questions()
    if not asked:
        raise UsageError("There are no questions; write one a line.")
    options = AbOptions(
        alpha=body.alpha, max_votes=body.max_votes, answer_tokens=body.answer_tokens, seed=body.seed
    )  # fmt: skip
    ab_tests.start_test(house, body.name, body.a, body.b, asked, options)
    return _out(house, body.name)


@TABLE.add("GET", "/api/ab/{name}", "An A/B test, blind while a question is open", returns=AbOut)
async def get_ab(house: House, request: Request) -> AbOut:
    """The open question, or the state."""
    return _out(house, request.path_params["name"])


@TABLE.add("POST", "/api/ab/{name}/next", "Let both sides answer the next question", returns=JobOut, status=202)
async def next_ab(house: House, request: Request) -> JobOut:
    """A job that makes a pair of answers."""
    name = request.path_params["name"]
    store = AbStore(house.database)
    ab_tests.check_next(store.get(name), store.trials(name))

    async def work(watcher: JobWatcher) -> None:
        watcher.at("Both sides answer", 0, 2)
        await ab_tests.next_trial(house, name, lambda done, total: watcher.at("Both sides answer", done, total))

    return JobOut(jobs_of(request).start("ab", work).id)


@TABLE.add("POST", "/api/ab/{name}/vote", "Vote on the open question", body=AbVote, returns=AbOut)
async def vote_ab(house: House, request: Request, body: AbVote) -> AbOut:
    """The vote is kept once."""
    ab_tests.vote(house, request.path_params["name"], body.number, body.choice)
    return _out(house, request.path_params["name"])


@TABLE.add(
    "GET", "/api/ab/{name}/pairs", "The pairs of an A/B test that were voted on, newest first", returns=AbPairsOut,
    query={"before": NUMBER},
)  # fmt: skip
async def get_ab_pairs(house: House, request: Request) -> AbPairsOut:
    """With whose they are, so not while a question waits for its vote."""
    name, store = request.path_params["name"], AbStore(house.database)
    test, trials = store.get(name), store.trials(name)
    if any(t.choice is None for t in trials):
        raise UsageError("Vote on the question that waits first: the earlier answers would tell whose it is.")
    before = whole(request.query_params.get("before", "") or "999999999")
    left = [t for t in reversed(trials) if t.number < before]
    page = [
        AbPair(t.number, t.question, t.voted_at or t.made_at, t.first, t.outcome or "tie", t.same, t.a.text, t.b.text)
        for t in left[:PAIRS]
    ]
    following = page[-1].number if len(left) > PAIRS else None
    return AbPairsOut(test.a.name, test.b.name, page, following, len(trials))


@TABLE.add("POST", "/api/ab/{name}/questions", "Add questions to an A/B test", body=AbQuestions, returns=AbOut)
async def ask_ab(house: House, request: Request, body: AbQuestions) -> AbOut:
    """They are asked after the present ones."""
    ab_tests.add_questions(house, request.path_params["name"], body.questions)
    return _out(house, request.path_params["name"])


@TABLE.add("POST", "/api/ab/{name}/stop", "Stop an A/B test", returns=AbOut)
async def stop_ab(house: House, request: Request) -> AbOut:
    """Its votes are kept."""
    AbStore(house.database).stop(request.path_params["name"])
    return _out(house, request.path_params["name"])


@TABLE.add("DELETE", "/api/ab/{name}", "Delete an A/B test with all its texts", status=204)
async def delete_ab(house: House, request: Request) -> None:
    """For good."""
    AbStore(house.database).delete(request.path_params["name"])


def _running(report: ab_tests.Report) -> bool:
    return report.verdict.state == "open" and report.test.stopped_at is None


def _out(house: House, name: str) -> AbOut:
    found = ab_tests.report(house, name)
    waiting = ab_tests.open_trial(house, name) if _running(found) else None
    return AbOut(
        name, _running(found), found.asked, len(found.test.questions), _blind(waiting) if waiting else None,
        None if waiting else _status(found),
    )  # fmt: skip


def _status(report: ab_tests.Report) -> AbStatus:
    test = report.test
    return AbStatus(
        AbSide(test.a.name, report.cost_a), AbSide(test.b.name, report.cost_b), report.words, report.verdict,
        report.power, test.options.alpha, report.model,
    )  # fmt: skip


def _blind(trial: Trial) -> BlindTrial:
    first, second = trial.shown
    return BlindTrial(trial.number, trial.question, (first.text, second.text))
