"""A persona's name, description and system prompt written by a language model, sentence by sentence held to the evidence.

A sentence stays only if it names pieces of the material it was given, copies words that really stand in one of them, says
nothing that looks like an order to a model, is in the person's language, and the model, asked again with only the sentence
and its material, finds it supported. What does not stay is dropped and counted; where too little stays, the offline prompt
stands alone.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from innercouncil import prompts
from innercouncil.discovery.prompt_writer import Draft, write_prompt
from innercouncil.model.errors import BackendRejectedError
from innercouncil.model.languages import LANGUAGES
from innercouncil.model.persona import Exemplar, Persona, PromptLine, WrittenPrompt
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, Estimate, complete
from innercouncil.model.tokens import estimate_tokens

SECTIONS: Final = ("Do", "Think", "Sound", "Do not")
MIN_LINES: Final = 4
"""Fewer supported lines are no prompt."""
MAX_LINES: Final = 14
MAX_WORDS: Final = 30
COPIED_WORDS: Final = 8
"""A sentence that repeats so many words in a row of a message tells what was said once, or obeys it; it is no habit."""
MATERIAL_TOKENS: Final = 2200
"""Most tokens of material: with the answer it stays under the smallest usual context, 4096."""
WRITE_TOKENS: Final = 1500
CHECK_TOKENS: Final = 12
"""Tokens of one yes or no."""

_NAME_RE: Final = re.compile(r"[^\W\d_]+(?:[ -][^\W\d_]+){0,3}")
_MARKUP_RE: Final = re.compile(r"[<>{}\[\]|`\\]|https?:|www\.|\n|[\x00-\x1f\x7f]")


class Guards(NamedTuple):
    """What a stage cannot know by itself."""

    language: Callable[[str], str | None]
    """ISO 639 code of a text, None where unsure."""
    orders: Callable[[str], bool]
    """Whether a text gives orders to a model or to judges."""


class Piece(NamedTuple):
    """A numbered piece of material and the messages it comes from."""

    label: str
    kind: str
    text: str
    ids: tuple[str, ...]


class _Sentence(msgspec.Struct):
    text: str
    support: list[str]


class _Line(msgspec.Struct):
    section: str
    text: str
    support: list[str]
    quote: str


class _Answer(msgspec.Struct):
    name: str
    description: list[_Sentence]
    lines: list[_Line]


def material(persona: Persona, guards: Guards) -> list[Piece]:
    """What a model may read of a persona: measured habits, phrases, what they insist on, exemplars; all redacted before."""
    pieces: list[tuple[str, str, tuple[str, ...]]] = [
        ("measured", f"{c.text}{_shares(c.share, c.elsewhere)}", c.evidence) for c in persona.claims if c.evidence
    ]
    pieces += [
        ("habit" if line.section != "In their own words, they insist" else "insists", line.text, line.evidence)
        for line in persona.prompt.lines
        if line.section != "Examples" and line.evidence
    ]
    pieces += [("says often", p.text, p.evidence) for p in persona.phrases[:12] if p.evidence and " " in p.text]
    pieces += [("message", e.text, (e.id,)) for e in persona.exemplars]
    kept: list[Piece] = []
    room = MATERIAL_TOKENS
    for kind, text, ids in pieces:
        plain = " ".join(text.split())
        need = estimate_tokens(plain) + 6
        if guards.orders(plain) or need > room:
            continue
        room -= need
        kept.append(Piece(f"E{len(kept) + 1}", kind, plain, ids))
    return kept


def _shares(share: float | None, elsewhere: float | None) -> str:
    if share is None:
        return ""
    return f" ({round(100 * share)}% of messages" + (f", elsewhere {round(100 * elsewhere)}%)" if elsewhere else ")")


def material_key(persona: Persona, pieces: Sequence[Piece]) -> str:
    """Changes with everything a prompt is written from, the wording of the requests included."""
    parts = [
        prompts.source("write_persona"), prompts.source("check_support"), persona.prompt.budget,
        [tuple(p) for p in pieces], [(e.id, e.text, e.reply) for e in persona.exemplars],
    ]  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:24]


def estimate(personas: Sequence[Persona], guards: Guards) -> Estimate:
    """What writing will take, if every answer is right the first time."""
    reading = sum(estimate_tokens(_request(material(p, guards), [], "English")) for p in personas)
    count = len(personas)
    return Estimate(
        f"{count} persona{'s' if count != 1 else ''}", 2 * count, 2 * reading,
        count * (WRITE_TOKENS + CHECK_TOKENS * MAX_LINES),
    )  # fmt: skip


async def write(
    persona: Persona, model: ChatModel, guards: Guards, *, taken: Sequence[str] = (), label: str = "", seed: int = 0
) -> WrittenPrompt:
    """Let `model` write the persona; `usable` is false where what stayed is no prompt. Names in `taken` are not given again.

    An answer that cannot be used is asked for once more. Raises BackendError.
    """
    pieces = material(persona, guards)
    dropped: Counter[str] = Counter()
    language = _language_of(pieces, guards)
    for attempt in range(2):
        answer = await _answer(pieces, taken, language, model, seed + attempt)
        if answer is None:
            dropped["answer that is not what was asked for"] += 1
            continue
        kept = _checked(answer, pieces, guards, language, dropped)
        kept = await _supported(kept, model, seed + attempt, dropped)
        lines = [k for k in kept if k.section]
        if len(lines) >= MIN_LINES:
            return _written(persona, answer, kept, taken, guards, dropped, label, material_key(persona, pieces))
        dropped["prompt of too few supported lines"] += 1
    return WrittenPrompt(
        name=persona.name, description=persona.description, prompt=persona.prompt, usable=False, model=label,
        key=material_key(persona, pieces), dropped=dict(sorted(dropped.items())),
    )  # fmt: skip


class _Kept(NamedTuple):
    section: str
    """Empty for a sentence of the description."""
    text: str
    pieces: tuple[Piece, ...]

    @property
    def evidence(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(i for p in self.pieces for i in p.ids))[:12]


def _checked(
    answer: _Answer, pieces: Sequence[Piece], guards: Guards, language: str | None, dropped: Counter[str]
) -> list[_Kept]:
    """Sentences and lines that pass every check that needs no model."""
    by_label = {p.label: p for p in pieces}
    every = [("", s.text, s.support, None) for s in answer.description[:3]]
    lines = [(x.section, x.text, x.support, x.quote) for x in answer.lines[: 2 * MAX_LINES]]
    kept: list[_Kept] = []
    for section, raw, support, quote in [*every, *lines]:
        text = raw.strip()
        found = tuple(dict.fromkeys(by_label[s] for s in support if s in by_label))[:4]
        why = _wrong(section, text, quote, guards, language) or _unfounded(found, len(support), quote)
        why = why or ("copy of a message" if _copies(text, pieces) else "")
        if not why and any(_plain(text) == _plain(k.text) for k in kept):
            why = "said twice"
        if why:
            dropped[why] += 1
        else:
            kept.append(_Kept(section, text, found))
    return kept


def _wrong(section: str, text: str, quote: str | None, guards: Guards, language: str | None) -> str:
    if quote is not None and section not in SECTIONS:
        return "section that does not exist"
    if not 2 <= len(text.split()) <= MAX_WORDS + (15 if quote is None else 0) or _MARKUP_RE.search(text):
        return "no plain short sentence"
    if guards.orders(text):
        return "order to a model"
    if language and guards.language(text) not in (None, language):
        return "another language"
    return ""


def _unfounded(found: Sequence[Piece], named: int, quote: str | None) -> str:
    if not found or named > 2 * len(found):
        return "no such evidence"
    if quote is not None:
        words = _plain(quote)
        if not words or not any(f" {words} " in f" {_plain(p.text)} " for p in found):
            return "quote that is not in the evidence"
    return ""


def _copies(text: str, pieces: Sequence[Piece]) -> bool:
    words = _plain(text).split()
    runs = [f" {' '.join(words[i : i + COPIED_WORDS])} " for i in range(len(words) - COPIED_WORDS + 1)]
    return any(run in f" {_plain(p.text)} " for p in pieces if p.kind == "message" for run in runs)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


async def _supported(kept: Sequence[_Kept], model: ChatModel, seed: int, dropped: Counter[str]) -> list[_Kept]:
    """Those the model, asked again about each with its material alone, finds supported."""
    out: list[_Kept] = []
    step = 7
    for start in range(0, len(kept), step):
        part = kept[start : start + step]
        said = await _verdicts(part, model, seed)
        for n, one in enumerate(part):
            if said.get(str(n)) == "yes":
                out.append(one)
            else:
                dropped["sentence its evidence does not support"] += 1
    return out


async def _verdicts(part: Sequence[_Kept], model: ChatModel, seed: int) -> dict[str, str]:
    numbers = [str(n) for n in range(len(part))]
    schema = {
        "type": "object", "properties": {n: {"type": "string", "enum": ["yes", "no"]} for n in numbers},
        "required": numbers, "additionalProperties": False,
    }  # fmt: skip
    claims = [
        {"text": prompts.fenced(k.text), "material": [prompts.fenced(p.text[:300]) for p in k.pieces]} for k in part
    ]
    request = ChatRequest(
        turns=(ChatTurn("user", prompts.template("check_support").render(claims=claims)),), schema=schema,
        max_tokens=CHECK_TOKENS * len(part), seed=seed,
    )  # fmt: skip
    for _ in range(2):
        try:
            text = (await complete(model, request)).text
            return msgspec.json.decode(text.encode("utf-8", "replace"), type=dict[str, str])
        except BackendRejectedError as error:
            if not error.too_long:
                raise
            if len(part) == 1:
                return {}
            half = len(part) // 2
            first, second = await _verdicts(part[:half], model, seed), await _verdicts(part[half:], model, seed)
            return first | {str(half + int(n)): v for n, v in second.items() if n.isdecimal()}
        except (msgspec.MsgspecError, RecursionError):
            continue
    return {}


def answer_schema(labels: Sequence[str]) -> dict[str, Any]:
    """JSON Schema of a written persona that may cite `labels`."""
    support = {
        "type": "array", "items": {"type": "string", "enum": list(labels)}, "minItems": 1, "maxItems": 4,
    }  # fmt: skip

    def entry(**more: Any) -> dict[str, Any]:
        properties = {"text": {"type": "string", "maxLength": 240}, "support": support, **more}
        return {
            "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
        }  # fmt: skip

    line = entry(section={"type": "string", "enum": list(SECTIONS)}, quote={"type": "string", "maxLength": 120})
    properties = {
        "name": {"type": "string", "maxLength": 40},
        "description": {"type": "array", "items": entry(), "minItems": 1, "maxItems": 3},
        "lines": {"type": "array", "items": line, "minItems": MIN_LINES, "maxItems": MAX_LINES},
    }
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


async def _answer(
    pieces: Sequence[Piece], taken: Sequence[str], language: str | None, model: ChatModel, seed: int
) -> _Answer | None:
    shown = list(pieces)
    while shown:
        request = ChatRequest(
            turns=(ChatTurn("user", _request(shown, taken, LANGUAGES.get(language or "en", "the person's language"))),),
            schema=answer_schema([p.label for p in shown]), max_tokens=WRITE_TOKENS, seed=seed,
        )  # fmt: skip
        try:
            text = (await complete(model, request)).text
            return msgspec.json.decode(text.encode("utf-8", "replace"), type=_Answer)
        except BackendRejectedError as error:
            if not error.too_long:
                raise
            shown = shown[: len(shown) // 2]
        except (msgspec.MsgspecError, RecursionError):
            return None
    return None


def _written(
    persona: Persona, answer: _Answer, kept: Sequence[_Kept], taken: Sequence[str], guards: Guards,
    dropped: Counter[str], label: str, key: str,
) -> WrittenPrompt:  # fmt: skip
    name = " ".join(answer.name.split())
    if not _NAME_RE.fullmatch(name) or len(name) > 40 or name in taken or guards.orders(name):
        dropped["name that cannot be used"] += 1
        name = persona.name
    told = [k for k in kept if not k.section]
    order = {s: i for i, s in enumerate(SECTIONS)}
    lines = sorted((k for k in kept if k.section), key=lambda k: order[k.section])[:MAX_LINES]
    drafted = [PromptLine(section=k.section, text=k.text, evidence=k.evidence) for k in lines]
    return WrittenPrompt(
        name=name,
        description=" ".join(k.text for k in told) if told else persona.description,
        description_evidence=tuple(k.evidence for k in told),
        prompt=write_prompt(Draft(name, drafted, _examples(persona, guards)), budget=persona.prompt.budget),
        usable=True, model=label, key=key, dropped=dict(sorted(dropped.items())),
    )  # fmt: skip


def _examples(persona: Persona, guards: Guards) -> list[Exemplar]:
    """The examples the offline prompt shows, less those that give orders."""
    shown = {line.evidence[0] for line in persona.prompt.lines if line.section == "Examples" and line.evidence}
    return [
        msgspec.structs.replace(e, context="")
        for e in persona.exemplars
        if e.id in shown and not guards.orders(f"{e.text} {e.reply}")
    ]


def _language_of(pieces: Sequence[Piece], guards: Guards) -> str | None:
    """The language most of the person's quoted messages are in; English where they do not tell."""
    spoken = Counter(guards.language(p.text) for p in pieces if p.kind == "message")
    del spoken[None]
    return spoken.most_common(1)[0][0] if spoken else "en"


def _request(pieces: Sequence[Piece], taken: Sequence[str], language: str) -> str:
    items = [p._replace(text=prompts.fenced(p.text)) for p in pieces]
    return prompts.template("write_persona").render(items=items, taken=taken, language=language)
