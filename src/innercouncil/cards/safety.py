"""What an imported file may not do: be huge, hide characters in a text, or talk to those who vote.

Cards come from strangers. Texts are cleaned of characters a person cannot see (they reach the model all the same), cut
to a bound, and searched for sentences that address judges; what was done is told in `warnings`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

MAX_FILE: Final = 8 << 20
MAX_SYSTEM: Final = 40_000
MAX_NAME: Final = 80
MAX_DESCRIPTION: Final = 2_000
MAX_GREETING: Final = 8_000
MAX_EXAMPLE: Final = 8_000
MAX_SHORT: Final = 200
MAX_TAG: Final = 64
MAX_TAGS: Final = 50
MAX_EXAMPLES: Final = 50
MAX_CARDS: Final = 200

_EMOJI: Final = "\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_JOINING: Final = "\u0600-\u0dff"
"""Arabic and Indic letters: between two of them (and between emoji) a joiner is spelling, not hiding."""

_HIDDEN_RE: Final = re.compile(
    r"(?P<escape>\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x9b[0-?]*[ -/]*[@-~])"
    r"|(?P<control>[\x00-\x08\x0e-\x1f\x7f-\x9f\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff])"
    r"|(?P<direction>[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c])"
    r"|(?P<tag>[\U000e0000-\U000e007f\U000e0100-\U000e01ef])"
    rf"|(?P<joiner>(?<![{_EMOJI}])(?<![{_EMOJI}]\ufe0f)(?<![{_JOINING}])[\u200c\u200d]|[\u200c\u200d](?![{_EMOJI}{_JOINING}]))"
    rf"|(?P<selector>(?<![{_EMOJI}0-9#*\u00a9\u00ae\u203c\u2049\u2122\u2139])[\ufe0e\ufe0f]|[\ufe00-\ufe0d])"
    r"|(?P<zero>[\u200b\u2060-\u2065\u206a-\u206f\ufeff\u00ad\u034f\u180b-\u180f\u115f\u1160\u17b4\u17b5\u3164\uffa0])"
)
_KINDS: Final = {
    "escape": "terminal escape", "control": "control", "direction": "text direction", "tag": "tag",
    "joiner": "zero-width", "selector": "zero-width", "zero": "zero-width",
}  # fmt: skip
_BREAK_RE: Final = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_SURROGATE_RE: Final = re.compile("[\ud800-\udfff]")
_SENTENCE_RE: Final = re.compile(r"[^.!?\n]+[.!?]*")

_NOUN: Final = r"(?:answer|response|reply|persona|candidate)s?"
_ANSWER: Final = rf"(?:me|this|mine|my|our|us|the (?:first|last|above|following))(?: (?:\w+ )?(?:{_NOUN}|text|one))?"
_JUDGE: Final = r"(?:judge|voter|reviewer|evaluator|grader|juror)s?"
_APPEAL_RE: Final = re.compile(
    rf"\b(?:rank|rate|score|grade|place|put|list|mark) {_ANSWER} (?:as )?(?:the )?(?:first|1st|number one|no\.? ?1|#1|top|best|highest|high|10|ten|full|above)\b"
    rf"|\b(?:vote|voting|votes) (?:for|in favou?r of) {_ANSWER}\b"
    rf"|\b(?:choose|pick|prefer|select|favou?r|declare|crown) {_ANSWER}(?: (?:as|to be)\b|[.!,]|$)"
    rf"|\b(?:choose|pick|prefer|select|favou?r) (?:me|mine|us|(?:this|my|our) {_NOUN})\b"
    r"|\b(?:ignore|disregard|forget|override|bypass)\b.{0,20}\b(?:previous|prior|above|earlier|preceding|other|existing|system)\b.{0,20}\b(?:instruction|prompt|rule|message|direction|guideline|criteri)"
    r"|\b(?:ignore|disregard|forget|override|bypass) (?:all|your)(?: of)?(?: the| your)? (?:instruction|prompt|rule|guideline|criteri)"
    rf"|\b(?:dear|attention|note to|notice to|message to|hey|hello),? (?:the |all |any |every )?(?:{_JUDGE}|council|synthesi[sz]er|chairman)\b"
    rf"|\b{_JUDGE} (?:must|should|shall|will|need to|have to|please)\b.{{0,30}}\b(?:choose|pick|prefer|vote|rank|select|favou?r|accept) (?:me|this|mine|my|us|our)\b"
    rf"|\bif you(?: are|'re) (?:a |an |the )?(?:judge|judging|voter|voting|ranking|(?:evaluating|grading|comparing|reviewing) (?:\w+ )?{_NOUN})\b"
    rf"|\b(?:give|award|assign) {_ANSWER} (?:the |a |an )?(?:best|top|highest|first|maximum|perfect|full|10|ten)\b"
    rf"|\b(?:rank|rate|score|grade) (?:all |the |every |any )*(?:others?|rest|other {_NOUN}) (?:as )?(?:last|lower|low|worst|0|zero|below)\b"
    r"|<\|?(?:im_start|im_end|system|endoftext|eot_id|start_header_id)\|?>|\[/?INST\]",
    re.IGNORECASE,
)


class Cleaner:
    """Takes values of any type for texts that are safe to show and to send, and notes in `warnings` what it changed."""

    def __init__(self, warnings: list[str]) -> None:
        self.warnings = warnings

    def text(self, value: object, what: str, limit: int) -> str:
        """`value` as text of several lines, without hidden characters, at most `limit` characters."""
        return self._bounded(value, what, limit)

    def line(self, value: object, what: str, limit: int) -> str:
        """`value` as text of one line, without hidden characters, at most `limit` characters."""
        return self._bounded(value, what, limit, one_line=True)

    def number(self, value: object, what: str, low: float, high: float) -> float | None:
        """`value` as a number from `low` to `high`; None, with a warning, for anything else that is there."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        found = _as_number(value)
        if found is None or not low <= found <= high:  # also false for NaN
            self.warnings.append(f"The {what} is not a number from {low:g} to {high:g} and is ignored.")
            return None
        return found

    def _visible(self, text: str, what: str) -> str:
        text, counts = strip_hidden(text)
        if counts:
            kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
            self.warnings.append(f"Hidden characters were removed from the {what}: {kinds}.")
        return text.strip()

    def _bounded(self, value: object, what: str, limit: int, *, one_line: bool = False) -> str:
        raw = as_text(value)
        text = self._visible(raw[: 4 * limit], what)  # cleaning megabytes of which nothing is used would take seconds
        if one_line:
            text = " ".join(text.split())
        if len(text) <= limit and len(raw) <= 4 * limit:
            return text
        self.warnings.append(f"The {what} has more than {limit:,} characters; only the first are used.")
        return text[:limit].rstrip()


def strip_hidden(text: str) -> tuple[str, Counter[str]]:
    """The text with plain line breaks and without characters that cannot be seen, and how many of each kind there were.

    Doing it twice changes nothing more: what is allowed is so for its visible neighbours' sake.
    """
    counts: Counter[str] = Counter()

    def note(match: re.Match[str]) -> str:
        counts[_KINDS[match.lastgroup or "control"]] += 1
        return ""

    return _HIDDEN_RE.sub(note, _BREAK_RE.sub("\n", without_surrogates(text))), counts


def without_surrogates(text: str) -> str:
    """The text as it can be encoded: half a surrogate pair stands for nothing."""
    return _SURROGATE_RE.sub("\ufffd", text)


def appeals(text: str, what: str) -> list[str]:
    """A warning for each sentence of `text` that speaks to judges or voters, three at most."""
    found: dict[str, None] = {}
    for match in _SENTENCE_RE.finditer(text):
        sentence = " ".join(unicodedata.normalize("NFKC", match[0]).split())
        if sentence and _APPEAL_RE.search(sentence):
            found[sentence if len(sentence) <= 120 else sentence[:117] + "..."] = None
            if len(found) == 3:
                break
    return [f'The {what} speaks to those who judge or to the model\'s frame: "{sentence}"' for sentence in found]


def as_text(value: object) -> str:
    """The value if it is text; numbers and lists of texts are written out, anything else is nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return "\n".join(item for item in value if isinstance(item, str))
    return ""


def as_dict(value: object) -> dict[str, object]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def _as_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 40:
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def file_label(filename: str) -> str:
    """How an error names the file."""
    name = " ".join(strip_hidden(filename.replace("\\", "/").rpartition("/")[2])[0].split())[:MAX_NAME]
    return name or "The file"


def name_from(filename: str) -> str:
    """A persona's name from its file's, "" where that says nothing."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    stem = name.rpartition(".")[0] or name
    return "" if stem.casefold() in ("skill", "modelfile", "agents", "readme", "card") else stem


def slug_of(name: str) -> str:
    """The name as a-z, 0-9 and single hyphens, at most 64 characters; "persona" where nothing is left."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name.lower()).strip("-")[:64].strip("-") or "persona"
