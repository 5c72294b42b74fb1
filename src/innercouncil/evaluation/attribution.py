"""Whose message is this? Held-out messages are matched to prompts; a prompt that catches a mode finds its own messages.

Accuracy is balanced (the mean over personas of the share of their messages that found them), so that a large persona
counts no more than a small one and chance is one in the number of personas, whatever their sizes. Intervals resample
whole conversations, because messages of one conversation are not independent, and are widened where there are few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from innercouncil.evaluation.similarity import stretch
from innercouncil.model.errors import BackendRejectedError
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, ask_each, complete
from innercouncil.model.quality import Accuracy, Difference
from innercouncil.model.tokens import estimate_tokens
from innercouncil.prompts import fenced, template

LETTERS: Final = "ABCDEFGHIJKL"
SMOOTHING: Final = 0.5
"""Weight of the prompt against the background (Jelinek-Mercer); the usual middle for long queries."""
RESAMPLES: Final = 2000
CALL_TOKENS: Final = 3900
"""Most tokens of a call, a little less than the smallest usual context, 4096."""
MESSAGE_CHARS: Final = 800
ANSWER_TOKENS: Final = 24
WORDS: Final = r"(?u)[^\W\d_]+(?:['’][^\W\d_]+)*|[?!]"

FloatArray = npt.NDArray[np.float64]


class HeldOut(NamedTuple):
    """A message no prompt was made from."""

    id: str
    conversation: int
    persona: int
    """Number of the persona it belongs to."""
    text: str


class Marks(NamedTuple):
    """What became of n messages: `credit` (n,) is 1 for the right persona, a share of it where several tie, else 0."""

    truth: npt.NDArray[np.int_]
    conversations: npt.NDArray[np.int_]
    credit: FloatArray
    unanswered: int = 0

    @property
    def personas(self) -> int:
        """How many personas there are messages of."""
        return len(np.unique(self.truth))


def lexical_scores(prompts: Sequence[str], texts: Sequence[str]) -> FloatArray:
    """How well each of k prompts explains the words of each of n texts: (n, k) mean log-likelihoods a word.

    Query likelihood with Jelinek-Mercer smoothing (Zhai & Lafferty 2004, ACM TOIS 22:2): all it knows of a persona is its
    prompt. It reads words, not instructions ("be brief" tells it nothing).
    """
    from sklearn.feature_extraction.text import CountVectorizer

    counts = CountVectorizer(token_pattern=WORDS, max_features=200_000)
    everything = counts.fit_transform([*prompts, *texts])
    background = np.asarray(everything.sum(axis=0), dtype=np.float64).ravel()
    background /= background.sum()
    queries = everything[len(prompts) :].astype(np.float64)
    length = np.maximum(np.asarray(queries.sum(axis=1)).ravel(), 1.0)
    scores = np.empty((len(texts), len(prompts)))
    for j in range(len(prompts)):
        words = everything[j].toarray().ravel().astype(np.float64)
        model = SMOOTHING * words / max(words.sum(), 1.0) + (1 - SMOOTHING) * background
        scores[:, j] = queries @ np.log(model) / length
    return np.round(scores, 9)


def marks_of_scores(messages: Sequence[HeldOut], scores: FloatArray) -> Marks:
    """The best score wins; prompts that tie share the credit."""
    truth = np.array([m.persona for m in messages])
    best = scores == scores.max(axis=1, keepdims=True)
    credit = best[np.arange(len(messages)), truth] / best.sum(axis=1)
    return Marks(truth, np.array([m.conversation for m in messages]), credit)


def marks_of_picks(messages: Sequence[HeldOut], picks: Sequence[int | None]) -> Marks:
    """A judge's picks; none at all counts as wrong."""
    truth = np.array([m.persona for m in messages])
    credit = np.array([float(p == t) for p, t in zip(picks, truth.tolist(), strict=True)])
    return Marks(truth, np.array([m.conversation for m in messages]), credit, sum(p is None for p in picks))


def accuracy(marks: Marks, *, seed: int = 0) -> Accuracy:
    """Balanced accuracy with a 95% interval over conversations."""
    value, low, high = _interval(_by_conversation(marks), 0.0, seed)
    shares = [marks.credit[marks.truth == p] for p in np.unique(marks.truth)]
    return Accuracy(
        value=value, low=low, high=high, chance=round(1 / marks.personas, 4), messages=len(marks.truth),
        unanswered=marks.unanswered, by_persona=tuple(round(float(s.mean()), 4) for s in shares),
    )  # fmt: skip


def difference(name: str, better: Marks, than: Marks, *, seed: int = 0) -> Difference:
    """Balanced accuracy of one set of prompts less another's on the same messages, with its 95% interval (paired)."""
    paired = Marks(better.truth, better.conversations, better.credit - than.credit)
    return Difference(name, *_interval(_by_conversation(paired), -1.0, seed))


class _Sums(NamedTuple):
    shares: FloatArray
    """(conversations, personas) sums."""
    sizes: FloatArray


def _by_conversation(marks: Marks) -> _Sums:
    _, rows = np.unique(marks.conversations, return_inverse=True)
    _, columns = np.unique(marks.truth, return_inverse=True)
    shape = (int(rows.max()) + 1, int(columns.max()) + 1)
    credit, count = np.zeros(shape), np.zeros(shape)
    np.add.at(credit, (rows, columns), marks.credit)
    np.add.at(count, (rows, columns), 1.0)
    return _Sums(credit, count)


def _interval(sums: _Sums, least: float, seed: int) -> tuple[float, float, float]:
    """A figure from `least` to 1, and its ends: anything where there are fewer than three conversations."""
    from scipy import stats

    def balanced(at: npt.NDArray[np.int_], axis: int = -1) -> FloatArray:
        credit, count = sums.shares[at].sum(axis=axis - 1), sums.sizes[at].sum(axis=axis - 1)
        share = np.divide(credit, count, out=np.full(credit.shape, np.nan), where=count > 0)
        return np.asarray(np.nanmean(share, axis=-1))

    every = np.arange(len(sums.shares))
    value = float(balanced(every))
    if len(every) < 3:
        return round(value, 4), least, 1.0
    found = stats.bootstrap(
        (every,), balanced, n_resamples=RESAMPLES, batch=100, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    wider = stretch(len(every))
    low, high = value - wider * (value - float(found.low)), value + wider * (float(found.high) - value)
    return round(value, 4), round(max(low, least), 4), round(min(high, 1.0), 4)


async def judge(
    messages: Sequence[HeldOut], prompts: Sequence[str], model: ChatModel, *, seed: int = 0, at_once: int = 4,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[int | None]:  # fmt: skip
    """Which prompt a model thinks each message belongs to, None where it gave no valid answer twice.

    The order of the prompts turns from message to message, so that a liking for the first place is worth nothing.
    Raises BackendError.
    """
    picks: list[int | None] = [None] * len(messages)

    async def one(n: int) -> int:
        turn = n % len(prompts)
        order = [*range(turn, len(prompts)), *range(turn)]
        place = await _pick(messages[n].text, [prompts[i] for i in order], model, seed)
        picks[n] = None if place is None else order[place]
        return 1

    alike = sorted(range(len(messages)), key=lambda n: n % len(prompts))  # the same order of prompts one after another
    await ask_each(alike, one, at_once=at_once, total=len(messages), progress=progress)
    return picks


async def _pick(text: str, prompts: Sequence[str], model: ChatModel, seed: int) -> int | None:
    letters = LETTERS[: len(prompts)]
    schema = {
        "type": "object", "properties": {"profile": {"type": "string", "enum": list(letters)}}, "required": ["profile"],
        "additionalProperties": False,
    }  # fmt: skip
    room, invalid = CALL_TOKENS, 0
    while invalid < 2 and room > 100:
        turns = (ChatTurn("user", request_text(text, prompts, room=room)),)
        try:
            answer = await complete(
                model, ChatRequest(turns=turns, schema=schema, max_tokens=ANSWER_TOKENS, seed=seed + invalid)
            )
        except BackendRejectedError as error:
            if not error.too_long:
                raise
            room //= 2
            continue
        try:
            said = msgspec.json.decode(answer.text.encode("utf-8", "replace"), type=dict[str, str]).get("profile")
        except (msgspec.MsgspecError, RecursionError):
            said = None
        if said in tuple(letters):
            return letters.index(str(said))
        invalid += 1
    return None


def request_text(text: str, prompts: Sequence[str], *, room: int = CALL_TOKENS) -> str:
    """What the judge is asked; long prompts lose their last lines until everything fits into `room` tokens."""
    shown = fenced(text[:MESSAGE_CHARS])
    frame = estimate_tokens(template("attribute_message").render(profiles=[], message=shown))
    each = max(40, (room - frame - ANSWER_TOKENS) // len(prompts) - 8)
    profiles = [(LETTERS[i], fenced(_clipped(p, each))) for i, p in enumerate(prompts)]
    return template("attribute_message").render(profiles=profiles, message=shown)


def _clipped(prompt: str, tokens: int) -> str:
    lines = prompt.strip().splitlines()
    while len(lines) > 1 and estimate_tokens("\n".join(lines)) > tokens:
        lines.pop()
    return "\n".join(lines)[: tokens * 4]
