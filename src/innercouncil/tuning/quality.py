"""Which answers of a model are good enough to train on, by rules that a person can read.

Every rule gives its reason in words; an answer is refused by the first that it breaks. The voice score
(evaluation/voice_score.py) is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from innercouncil.model.duplicates import words_of

MIN_WORDS: Final = 5
COPIED_WORDS: Final = 8
"""Words in a row that are a copy rather than a coincidence."""
LONGER: Final = 2.0
"""How many times as long as the plain answer a rewriting may be, and 40 words more."""
SPARE_WORDS: Final = 40

_REFUSAL_RE: Final = re.compile(
    r"\bas an? (?:ai|artificial|large language|language) (?:language )?(?:model|assistant|intelligence)\b"
    r"|\bi(?:'m| am) (?:just |only )?an? (?:ai|(?:large )?language model)\b"
    r"|^\W*(?:i(?:'m| am) )?(?:really |very |so )?sorry[^.!?]{0,20}\b(?:i )?(?:can(?:'t|not)|(?:am|'m) (?:unable|not able))\b"
    r"|^\W*i (?:can(?:'t|not)|am (?:unable|not able) to|won't) (?:help|assist|comply|fulfil|provide|rewrite|do that|answer)"
    r"|\bals (?:eine? )?(?:ki|k[üu]nstliche intelligenz|sprachmodell|ki-(?:modell|assistent)\w*)\b"
    r"|^\W*(?:es )?tut mir leid[^.!?]{0,30}\b(?:kann|darf)\b[^.!?]{0,60}\bnicht\b|^\W*(?:das|dabei) kann ich (?:leider )?nicht (?:helfen|beantworten|umschreiben|tun|machen)\b"
    r"|\ben tant qu['e]\s?(?:une? )?(?:ia\b|intelligence artificielle|mod[èe]le de langage|assistant)"
    r"|^\W*(?:je suis )?d[ée]sol[ée][^.!?]{0,30}\bje ne (?:peux|puis)\b"
    r"|\bcomo (?:una? )?(?:ia\b|inteligencia artificial|modelo de lenguaje|intelig[êe]ncia artificial|modelo de linguagem)"
    r"|^\W*lo siento[^.!?]{0,30}\bno puedo\b|^\W*(?:desculpe|sinto muito|lamento)[^.!?]{0,30}\bn[ãa]o posso\b"
    r"|\b(?:in quanto|come) (?:un )?(?:ia\b|intelligenza artificiale|modello linguistico)|^\W*mi dispiace[^.!?]{0,30}\bnon posso\b"
    r"|\bals (?:een )?(?:ai|taalmodel)\b|^\W*(?:het )?spijt me[^.!?]{0,30}\bkan (?:ik )?niet\b"
    r"|\bjako (?:model j[ęe]zykowy|sztuczna inteligencja)\b|^\W*(?:przepraszam|przykro mi)[^.!?]{0,30}\bnie mog[ęe]\b"
    r"|\bкак (?:языковая модель|искусственный интеллект|ии)\b|^\W*(?:извините|к сожалению)[^.!?]{0,30}\bне могу\b"
    r"|作为(?:一个|一名)?(?:人工智能|AI|语言模型)|^\W*(?:很)?抱歉.{0,12}(?:无法|不能)|(?:AI|人工知能|言語モデル)として|申し訳.{0,30}(?:できません|できかねます)"
    r"|(?:AI|인공지능|언어 ?모델)(?:로서|이기 때문)|죄송.{0,30}(?:할 수 없|도와드릴 수 없)",
    re.IGNORECASE,
)
_ABOUT_THE_TASK_RE: Final = re.compile(
    r"^\W*(?:(?:sure|certainly|of course|okay|ok)\W+)?(?:here(?:'s| is)|below is) (?:the|a|my|your|an?other)?\s*(?:\w+ )?(?:rewrit|rephras|revis|reword|version|answer in)"
    r"|\b(?:rewritten|rephrased) (?:answer|version|reply|response)\b|\bin the (?:persona|person)'?s (?:voice|style)\b|\bthe (?:original|plain) answer\b"
    r"|^\W*hier ist (?:die|eine) (?:umgeschriebene|überarbeitete|neue)|^\W*voici (?:la|une) (?:version|r[ée]ponse r[ée][ée]crite)"
    r"|<<<|>>>|\[name\] said",
    re.IGNORECASE,
)

Finish = Literal["stop", "length", "refusal"]


class Guards(NamedTuple):
    """What a stage cannot know by itself."""

    language: Callable[[str], str | None]
    """ISO 639 code of a text, None where unsure."""
    orders: Callable[[str], bool]
    """Whether a text gives orders to a model or to judges."""
    gain: Callable[[str, str, str], float] | None
    """By how much a text sounds more like the person than another one, to a question of a conversation (text, other,
    conversation); None where a voice cannot be told."""


class Verdict(NamedTuple):
    """Whether an answer is taken."""

    why: str
    """Why not, in words; empty where it is taken."""
    gain: float | None = None
    """By how much it sounds more like the person than the plain answer (log-odds)."""


def judge(
    text: str, finish: Finish, *, question: str, plain: str, conversation: str, prompt: str, guards: Guards
) -> Verdict:  # fmt: skip
    """Whether a model's answer to `question`, rewritten from `plain` in the voice of `prompt`, may be trained on."""
    words, most = len(words_of(text)), LONGER * len(words_of(plain)) + SPARE_WORDS
    broken = {
        "refusal": finish == "refusal" or refuses(text),
        "cut off": finish == "length",
        "too short": words < MIN_WORDS,
        "much longer than the plain answer": words > most,
        "speaks of the task": bool(_ABOUT_THE_TASK_RE.search(text)),
        "order to a model": guards.orders(text),
        "copy of the prompt": copies(text, prompt) or copies(text, question),
        "repeats itself": _loops(text),
        "another language": _other(guards.language(text), guards.language(question)),
    }
    if why := next((why for why, is_broken in broken.items() if is_broken), ""):
        return Verdict(why)
    if guards.gain is None:
        return Verdict("")
    gain = guards.gain(text, plain, conversation)
    return Verdict("" if gain > 0 else "no nearer to the voice than the plain answer", gain)


def _other(spoken: str | None, wanted: str | None) -> bool:
    return spoken is not None and wanted is not None and spoken != wanted


def refuses(text: str) -> bool:
    """Whether a text is a model's refusal, in one of a dozen languages; a net of patterns, not a proof."""
    return bool(_REFUSAL_RE.search(text[:600].replace("’", "'")))


def copies(text: str, of: str) -> bool:
    """Whether both hold an n-gram of COPIED_WORDS words; a shorter `text` copies where it stands in `of` as a whole."""
    words = words_of(text)
    n = min(COPIED_WORDS, len(words))
    return bool(words) and not _grams(words, n).isdisjoint(_grams(words_of(of), n))


def _grams(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def _loops(text: str) -> bool:
    """A small model that lost its way says the same again and again."""
    words = words_of(text)
    return len(words) >= 15 and len(_grams(words, 4)) < 0.6 * (len(words) - 3)
