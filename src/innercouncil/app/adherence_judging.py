"""A model says which items of a checklist an answer keeps to, without being told whose answer it is; kept line by line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from innercouncil import prompts
from innercouncil.app.adherence_answers import ANSWER_TOKENS, AT_ONCE, Progress, Said
from innercouncil.council.appeals import split_appeals
from innercouncil.council.texts import quote
from innercouncil.discovery.redaction import Redactor
from innercouncil.evaluation.adherence import Catch
from innercouncil.evaluation.checklist import counted
from innercouncil.model.adherence import Checklist
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, ChosenModel, Estimate, ask_each, ask_valid
from innercouncil.model.tokens import estimate_tokens
from innercouncil.store.workspace import Workspace, disk_errors, fingerprint, whole_lines

Verdict = Literal["yes", "no", "not applicable"]
VERDICTS: Final[tuple[Verdict, ...]] = ("yes", "no", "not applicable")
ITEM_TOKENS: Final = 24
"""Most tokens of an entry, for a model that spells every letter."""
QUESTION_CHARS, ANSWER_CHARS = 1500, 4500
RETRY_TEMPERATURE: Final = 0.4
"""A second try at temperature 0 would mostly say the same."""
_WORD_RE: Final = re.compile(r"(?<![\w'’-])[a-z]{4,12}(?![\w'’-])")
_ABSENT: Final = (
    "lantern",
    "orchard",
    "violin",
    "glacier",
    "saddle",
    "compass",
    "walnut",
    "harbour",
    "pepper",
    "cathedral",
)
"""Words for known items whose answer is no; one that stands in the answer is passed over."""


class _Kept(msgspec.Struct, frozen=True):
    key: str
    said: tuple[Verdict, ...] | None
    """By item, the known one last; None where no valid answer came twice."""


class _Call(NamedTuple):
    """An answer held against the judged items of a checklist."""

    key: str
    text: str
    """What the judge is sent."""
    order: tuple[int, ...]
    """Which item stands where; the last number is the known one."""
    known: bool
    """Whether the known item's answer is yes."""


class Judgement(NamedTuple):
    """What a judge said of an answer: by judged item, and whether it knew the known one. `said` None: no valid answer."""

    call: str
    """The same for answers that are the same word for word: the judge was asked about them once."""
    said: tuple[Verdict, ...] | None
    catch: Catch | None


class Judgements:
    """Answers held against checklists: judgements that are kept, and the rest to be asked for."""

    def __init__(self, workspace: Workspace, judge: ChosenModel) -> None:
        self._path = workspace.adherence_judgements
        self._judge = judge
        self._kept = {k.key: k.said for k in (msgspec.json.decode(r, type=_Kept) for r in whole_lines(self._path))}
        self._calls: dict[tuple[Checklist, Said], _Call | None] = {}
        self._hide: Callable[[str, str], str] = Redactor().redact if judge.remote else lambda text, _id: text

    def estimate(self, held: Sequence[tuple[Checklist, Said]]) -> Estimate:
        """What asking will take; answers that are not there yet are taken to be as long as they may be."""
        calls = {
            c.key + str(n): c for n, (x, s) in enumerate(held) if (c := self._call(x, s)) and c.key not in self._kept
        }
        unsaid = sum(not s.text for _, s in held)
        reading = sum(estimate_tokens(c.text) for c in calls.values()) + unsaid * ANSWER_TOKENS
        writing = sum(ITEM_TOKENS * len(c.order) for c in calls.values())
        return Estimate(f"{len(calls)} answers, each held against a checklist", len(calls), reading, writing)

    async def ask(self, held: Sequence[tuple[Checklist, Said]], model: ChatModel, progress: Progress) -> None:
        """Judge what is not judged yet. Raises BackendError; what was kept before stays kept."""
        calls = {c.key: c for x, s in held if (c := self._call(x, s)) and c.key not in self._kept}
        with disk_errors(self._path), self._path.open("ab") as file:

            async def one(call: _Call) -> int:
                said = await _judged(call, model)
                self._kept[call.key] = said
                file.write(msgspec.json.encode(_Kept(call.key, said)) + b"\n")
                file.flush()
                return 1

            await ask_each(list(calls.values()), one, at_once=AT_ONCE, total=len(calls), progress=progress)

    def missing(self, held: Sequence[tuple[Checklist, Said]]) -> int:
        """How many judgements are not there yet."""
        return len({c.key for x, s in held if (c := self._call(x, s)) and c.key not in self._kept})

    def of(self, checklist: Checklist, said: Said) -> Judgement | None:
        """The judgement of an answer; None where the checklist has nothing to judge."""
        call = self._call(checklist, said)
        if call is None:
            return None
        found = self._kept.get(call.key)
        if found is None:
            return Judgement(call.key, None, None)
        return Judgement(call.key, found[:-1], Catch(call.known, found[-1] == ("yes" if call.known else "no")))

    def _call(self, checklist: Checklist, said: Said) -> _Call | None:
        if (checklist, said) not in self._calls:
            self._calls[checklist, said] = self._made(checklist, said)
        return self._calls[checklist, said]

    def _made(self, checklist: Checklist, said: Said) -> _Call | None:
        items = [i.question for i in checklist.items if counted(i) is None]
        if not items:
            return None
        answer = shown(self._hide(said.text, checklist.persona))
        items = [_line(self._hide(i, checklist.persona)) for i in items]
        draw = hashlib.sha256("\x00".join([*items, said.asked, answer]).encode("utf-8", "replace")).digest()
        known, word = _known(answer, draw)
        every = [*items, f"Does the word “{word}” stand in the answer?"]
        at = draw[1] % len(every)
        order = (*range(at), len(items), *range(at, len(items)))
        text = prompts.template("judge_adherence").render(
            question=prompts.fenced(quote(said.asked[:QUESTION_CHARS])), answer=prompts.fenced(answer) or "(nothing)",
            items=[every[n] for n in order],
        )  # fmt: skip
        return _Call(fingerprint(judge=self._judge.identity, text=text, tokens=ITEM_TOKENS)[:32], text, order, known)


def shown(answer: str) -> str:
    """An answer as a judge sees it: without the sentences that address judges, and without marks of chat templates."""
    return quote(split_appeals(answer)[0][:ANSWER_CHARS])


def _known(answer: str, draw: bytes) -> tuple[bool, str]:
    """A word that stands in the answer, or one that does not, by lot."""
    words = sorted(set(_WORD_RE.findall(answer)))
    if draw[0] % 2 and words:
        return True, words[draw[2] % len(words)]
    absent = [w for w in _ABSENT if w not in answer.casefold()]
    return False, absent[draw[2] % len(absent)] if absent else "quincunx"


def _line(item: str) -> str:
    return prompts.fenced(quote(" ".join(item.split())))


def schema(items: int) -> dict[str, Any]:
    """JSON Schema of an answer on so many items: one entry an item under its number, so that none is named twice."""
    numbers = [str(n) for n in range(1, items + 1)]
    said = {"type": "string", "enum": list(VERDICTS), "maxLength": max(map(len, VERDICTS))}
    return {
        "type": "object", "properties": dict.fromkeys(numbers, said), "required": numbers, "additionalProperties": False,
    }  # fmt: skip


async def _judged(call: _Call, model: ChatModel) -> tuple[Verdict, ...] | None:
    """What it says by item, in the checklist's order; what is not valid is asked for once more."""

    def request(attempt: int) -> ChatRequest:
        return ChatRequest(
            turns=(ChatTurn("user", call.text),), schema=schema(len(call.order)), seed=attempt,
            temperature=RETRY_TEMPERATURE * attempt, max_tokens=ITEM_TOKENS * len(call.order),
        )  # fmt: skip

    def read(answer: bytes) -> tuple[Verdict, ...] | None:
        said = msgspec.json.decode(answer)
        return _ordered(said, call.order) if isinstance(said, dict) else None

    return await ask_valid(model, request, read)


def _ordered(said: Mapping[str, Any], order: Sequence[int]) -> tuple[Verdict, ...] | None:
    by_item: dict[int, Verdict] = {}
    for place, item in enumerate(order, 1):
        found = next((v for v in VERDICTS if v == said.get(str(place))), None)
        if found is None:
            return None
        by_item[item] = found
    return tuple(by_item[n] for n in range(len(order)))
