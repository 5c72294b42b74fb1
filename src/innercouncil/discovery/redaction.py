"""Take secrets and personal data out of text before it enters a prompt or an exemplar.

Libraries do the recognising where a kept one exists: detect-secrets (keys and tokens), phonenumbers (phone numbers),
python-stdnum (card, bank and identity numbers by their check digits), names (given names of the US census).
What they miss is in docs/discovery.md; the report names kinds and message ids, never the text taken out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Final

import names
from stdnum import iban, luhn
from stdnum.us import ssn

from innercouncil.model.persona import RedactionReport

_PLUGINS: Final = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector", "JwtTokenDetector",
    "KeywordDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector",
    "SendGridDetector", "SlackDetector", "SoftlayerDetector", "SquareOAuthDetector", "StripeDetector",
    "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
_EMAIL_RE: Final = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_URL_RE: Final = re.compile(r"\b(?:https?|ftp|wss?|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|redis)://[^\s<>\"')\]]+")
_URL_SECRET_RE: Final = re.compile(r"://[^/\s@]+:[^/\s@]+@|[?&#][^=&\s]*=|/[A-Za-z0-9_-]{20,}")
_PRIVATE_KEY_RE: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_TOKEN_RE: Final = re.compile(r"\b(?=[A-Za-z0-9_\-+/=]*\d)(?=[A-Za-z0-9_\-+/=]*[A-Za-z])[A-Za-z0-9_\-+/]{24,}={0,2}")
_KEYED_RE: Final = re.compile(
    r"(?i)\b((?:api[_ -]?key|secret|token|pass(?:word|wd|phrase)|pwd|bearer)(?:\s+is)?\s*[:=]?\s+|\w*(?:key|token|password)\w*\s*=\s*)"
    r"[\"']?([^\s\"',;]{6,})"
)
_IP_RE: Final = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b(?::\d{2,5})?")
_NUMBER_RE: Final = re.compile(r"\b\d(?:[ -]?\d){8,18}\b")
_SSN_RE: Final = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")
_IBAN_RE: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{3,4}){3,8}(?: ?[A-Z0-9]{1,3})?\b")
_ADDRESS_RE: Final = re.compile(
    r"\b\d{1,5}[a-z]?,? (?:[A-Z][\w.'’-]+ ){1,4}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Square|Place)\b\.?"
    r"(?:,? (?:Apt|Suite|Unit|#)\.? ?\w+)?(?:,? [A-Z][\w' ]{2,24},? (?:[A-Z]{2} )?\d{4,6})?"
    r"|\b[A-ZÄÖÜ][\wäöüß-]+(?:straße|strasse|str\.|weg|platz|gasse|allee) \d{1,4}[a-z]?\b(?:,? \d{5} [A-ZÄÖÜ]\w+)?"
    r"|\b(?:rue|via|calle|rua|avenida|avenue) (?:\w+ ){1,4}\d{1,4}\b|\b\d{1,4},? (?:rue|avenue|boulevard) (?:[\w'’-]+ ?){1,4}",
)
_PERSON_RE: Final = re.compile(
    r"\b((?:(?:[Mm]y name is|[Ii] am called|(?:Dear|Hi|Hello|Hey|Mr|Mrs|Ms|Dr|Prof|Herr|Frau|Sir|Madam)\b\.?)[ ,]+)+)"
    r"((?:[A-ZÀ-Þ][\w'’-]+)(?: [A-ZÀ-Þ][\w'’-]+){0,2})"
)
_CAPITALISED_RE: Final = re.compile(r"(?<![\w@/.])[A-ZÀ-Þ][a-zß-ÿ'’-]+(?: [A-ZÀ-Þ][a-zß-ÿ'’-]+){0,2}")
_SALUTATIONS: Final = frozenset(
    {"All", "Everyone", "There", "Team", "Sir", "Madam", "Chat", "Chatgpt", "Gpt", "Claude", "Assistant"}
)
_ALSO_WORDS: Final = frozenset(
    """will mark may bill rob sue art grace hope rose june april august dean drew jack frank grant chase miles dale lane
    ray joy faith destiny charity love king major prince royal page cody china paris london virginia georgia florida carolina
    dakota brooklyn savannah israel jordan ruby pearl amber jade crystal ivy daisy violet autumn summer winter dawn eve christian
    python java scala julia ada angular jasmine pat buck rocky van long so an ok man see son ha ma la le in do my star angel gene
    max norm sid ty val precious sunny penny ginger candy honey cherry olive iris basil sage rosemary earnest carol harmony
    melody lyric story sky ocean river forest brook cliff stone gale storm rich sterling noble chance true early young many
    dear miss lady queen duke earl baron bishop pope page porter cooper mason hunter fisher carter tyler taylor parker""".split()  # noqa: SIM905
)

_REGION: Final = "US"
"""How a phone number without a country's code is read."""


@cache
def given_names() -> frozenset[str]:
    """Given names, lower case, without those that are common words."""
    found = set()
    for key in ("first:male", "first:female"):
        for line in Path(names.FILES[key]).read_text("ascii").splitlines():
            if line.split():
                found.add(line.split()[0].lower())
    return frozenset(n for n in found if len(n) > 2) - _ALSO_WORDS


class Redactor:
    """Redacts texts and keeps count of what was taken out where."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._places: dict[tuple[str, str], int] = {}

    def redact(self, text: str, message_id: str) -> str:
        """`text` with every find replaced by its kind in brackets, e.g. `[e-mail]`; counted for `message_id`."""
        for kind, find in self._steps():
            text = self._apply(kind, find, text, message_id)
        return text

    def report(self) -> RedactionReport:
        """What was taken out so far, in a fixed order."""
        places = tuple((m, k, n) for (m, k), n in sorted(self._places.items()))
        return RedactionReport(counts=dict(sorted(self._counts.items())), places=places)

    def _steps(self) -> tuple[tuple[str, Callable[[str], Iterator[tuple[int, int]]]], ...]:
        return (
            ("secret", _private_keys),
            ("URL", _secret_urls),
            ("e-mail", lambda t: _spans(_EMAIL_RE, t)),
            ("secret", _secrets),
            ("number", _numbers),
            ("phone", self._phones),
            ("IP address", lambda t: _spans(_IP_RE, t)),
            ("address", lambda t: _spans(_ADDRESS_RE, t)),
            ("name", _people),
        )

    def _apply(self, kind: str, find: Callable[[str], Iterator[tuple[int, int]]], text: str, message_id: str) -> str:
        out, at = [], 0
        for start, end in sorted(set(find(text))):
            if start < at or end <= start:
                continue
            out += [text[at:start], f"[{kind}]"]
            at = end
            self._counts[kind] += 1
            self._places[message_id, kind] = self._places.get((message_id, kind), 0) + 1
        return "".join([*out, text[at:]]) if out else text

    def _phones(self, text: str) -> Iterator[tuple[int, int]]:
        if sum(map(str.isdigit, text)) < 7:
            return
        import phonenumbers  # half a second: only where there are digits to look at

        for match in phonenumbers.PhoneNumberMatcher(text, _REGION):
            yield match.start, match.end


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    for match in pattern.finditer(text):
        yield match.span()


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    return _spans(_PRIVATE_KEY_RE, text)


def _secret_urls(text: str) -> Iterator[tuple[int, int]]:
    """Links that carry a user, a query or a long token; plain links to a page stay."""
    for match in _URL_RE.finditer(text):
        if _URL_SECRET_RE.search(match.group()):
            yield match.span()


@cache
def _settings() -> dict[str, Any]:
    return {"plugins_used": [{"name": name} for name in _PLUGINS]}


def _scanner() -> AbstractContextManager[Any]:
    from detect_secrets.settings import transient_settings

    context: AbstractContextManager[Any] = transient_settings(_settings())
    return context


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    for match in _TOKEN_RE.finditer(text):
        yield match.span()
    for match in _KEYED_RE.finditer(text):
        if not match[2].rstrip(".:!?…)]}>*_").isalpha():  # a word is no secret: "password policy:", "token reading"
            yield match.span(2)
    if not any(map(str.isdigit, text)):
        return
    from detect_secrets.core.scan import scan_line

    with _scanner():
        for line in text.splitlines():
            for secret in scan_line(line[:2000]):
                value = secret.secret_value or ""
                start = text.find(value)
                while len(value) > 5 and start >= 0:
                    yield start, start + len(value)
                    start = text.find(value, start + len(value))


def _numbers(text: str) -> Iterator[tuple[int, int]]:
    """Numbers whose check digits say that they are a card, a bank account or an identity number."""
    for match in _IBAN_RE.finditer(text):
        if iban.is_valid(match.group()):
            yield match.span()
    for match in _SSN_RE.finditer(text):
        if ssn.is_valid(match.group()):
            yield match.span()
    for match in _NUMBER_RE.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if len(digits) >= 12 and luhn.is_valid(digits):
            yield match.span()


def _people(text: str) -> Iterator[tuple[int, int]]:
    """Names after a salutation or "my name is", and capitalised words that begin with a given name."""
    for match in _PERSON_RE.finditer(text):
        if match[2].split()[0] not in _SALUTATIONS:
            yield match.span(2)
    known = given_names()
    for match in _CAPITALISED_RE.finditer(text):
        words = match.group().split(" ")
        for i, word in enumerate(words):
            if re.sub(r"['’]s$", "", word).lower() in known:
                start = match.start() + sum(len(w) + 1 for w in words[:i])
                yield start, match.end()
                break
