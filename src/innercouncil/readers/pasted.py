"""Tell the person's own words from what they pasted: code, logs, quotes, documents.

The rules look at layout line by line, then at how a long message is built (an instruction in front of or behind a long
text it talks about). They are measured against hand-marked messages in tests/readers/test_pasted.py; docs/discovery.md
says where they fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from innercouncil.model.conversation import Span, SpanKind

LONG_VOICE: Final = 600
"""Characters of unmarked text from which a message is searched for a pasted document."""
MIN_RUN: Final = 3
"""Code or log lines in a row (blank ones not counted) that make a block without a fence."""

_FENCE_RE: Final = re.compile(r"^[ \t]*(```+|~~~+)[^\n`]*$", re.MULTILINE)
_TRIPLE_RE: Final = re.compile(r'"{3}(?:(?!"{3}).){40,}?"{3}|\'{3}(?:(?!\'{3}).){40,}?\'{3}', re.DOTALL)
_LONG_QUOTE_RE: Final = re.compile(r'[“"](?=[^\s"])[^"“”\n]{160,4000}[”"]')
_CODE_RE: Final = re.compile(
    r"""^\s*(?:
      (?:import|from)\s+[\w.*{},\s]+(?:import\b|;|from\s|$) | (?:async\s+)?def\s+\w+\s*\( | class\s+\w+.*[:{]\s*$
    | \#\s*include\b | \#!/ | @\w+(?:\(.*\))?\s*$ | using\s+[\w.]+; | package\s+[\w.]+;?\s*$ | \#region | \#endif
    | (?:export|const|let|var|static|public|private|protected|final|function|func|fn|struct|enum|interface|void|int|float
       |double|bool|string|elif|else|try|catch|finally|switch|case|return|raise|throw|yield|await|while|for|if|with|print)
       \b.*[;{}()=:]\s*(?://.*|\#.*)?$
    | </?[a-zA-Z!][^>]*>? .* | [{}\[\]()]+[;,]?\s*$ | .*[;{}]\s*$ | "[\w\-. ]+"\s*:\s*\S.* | [\w.\-\[\]"']+\s*(?:=|:=|\+=|==)\s*\S.*
    | (?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|FROM|WHERE|GROUP\ BY|ORDER\ BY|(?:LEFT\ |INNER\ )?JOIN)\b.*
    | (?://|/\*|\*/|--\ |<!--|\#\ ?\w+:).* | (?:\$|>>>|PS>|C:\\)\s*\S.* | \.[\w-]+\s*\{.* | [\w-]+:\s*[^;]+;\s*$ | %\w+.*
    )\s*$""",
    re.VERBOSE,
)
_LOG_RE: Final = re.compile(
    r"""^\s*(?:
      \[?\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d.* | \d\d:\d\d:\d\d.* | Traceback\ \(most\ recent.* | File\ ".+",\ line\ \d+.*
    | at\ [\w.$<>/]+\(.*\).* | (?:\w+\.)*\w*(?:Error|Exception)\b[:\s].* | (?:ERROR|WARN(?:ING)?|INFO|DEBUG|FATAL|npm\ ERR!)\b.*
    | \[(?:ERROR|WARN|INFO|DEBUG)\].* | Caused\ by:.* | .*\.(?:py|js|ts|java|c|cpp|go|rs|rb|php):\d+(?::\d+)?.* | 0x[0-9a-fA-F]{6,}.*
    )$""",
    re.VERBOSE,
)
_TABLE_RE: Final = re.compile(r"^\s*\|.*\|\s*$|^[^\t\n]*\t[^\t\n]*\t.*$")
_SPEAKER_RE: Final = re.compile(r"^\s*(?:\[?\(?\d{1,2}:\d\d(?::\d\d)?\)?\]?|[A-Z][\w .'’-]{0,30}:\s|Q[.:]\s|A[.:]\s)")
_CUE_RE: Final = re.compile(
    r"""(?:^|[.!?:\n]\s*|\b(?:and|then|now|please|to|just)\s+)(?:write|rewrite|summari[sz]e|explain|translate|create|make|give
    |list|generate|analy[sz]e|review|find|fix|help|tell|describe|identify|extract|convert|edit|improve|proofread|paraphrase|shorten
    |expand|answer|use|read|show|check|compare|evaluate|act|imagine|provide|design|turn|add|remove|change|solve|compute|do|can|could
    |would|what|why|how|is|are|should|which|who|when|does|add|respond|reply|pretend|continue|refactor|debug|simplify|rate)\b
    |\bplease\b|\byou\b|\bi\ (?:want|need|would|have|am)\b|\bi['’](?:m|d|ve)\b|\bmy\b|\?\s*$""",
    re.IGNORECASE | re.VERBOSE,
)
_POINTER_RE: Final = re.compile(
    r"\b(?:following|below|above|this|these|that|attached|here(?:'s| is| are)|previous)\b[^.!?\n]{0,60}$|[:：]\s*$"
    r"|\b(?:following|below|above)\b|\bthis (?:text|article|paragraph|essay|email|code|document|transcript|story|job|post|passage)\b",
    re.IGNORECASE,
)
_PARAGRAPH_RE: Final = re.compile(r"\n[ \t]*\n")


def split_voice(text: str) -> tuple[Span, ...]:
    """Partition `text` into spans of the person's voice and of pasted code, logs, quotes and documents.

    Spans are in order, touch each other and cover the whole text; an empty text has none. Linear in the length.
    """
    kinds: list[tuple[SpanKind, int, int]] = []
    for kind, start, end in _fenced(text):
        if kind == "voice":
            for k, s, e in _quoted(text, start, end):
                kinds += _lines(text, s, e) if k == "voice" else [(k, s, e)]
        else:
            kinds.append((kind, start, end))
    return tuple(Span(k, s, e) for k, s, e in _merge(text, _documents(text, _merge(text, kinds))))


def _fenced(text: str) -> Iterator[tuple[SpanKind, int, int]]:
    at, opened = 0, None
    for match in _FENCE_RE.finditer(text):
        if opened is None:
            if match.start() > at:
                yield "voice", at, match.start()
            opened, at = match[1], match.start()
        elif match[1][0] == opened[0] and len(match[1]) >= len(opened):
            yield "code", at, match.end()
            opened, at = None, match.end()
    if at < len(text):
        yield ("code" if opened else "voice"), at, len(text)


def _quoted(text: str, start: int, end: int) -> Iterator[tuple[SpanKind, int, int]]:
    at = start
    found = [*_TRIPLE_RE.finditer(text, start, end), *_LONG_QUOTE_RE.finditer(text, start, end)]
    for match in sorted(found, key=lambda m: m.start()):
        if match.start() < at:
            continue
        if match.start() > at:
            yield "voice", at, match.start()
        yield "quote", match.start(), match.end()
        at = match.end()
    if at < end:
        yield "voice", at, end


def _line_kind(line: str) -> SpanKind | None:
    """Kind of one line, None for a blank one."""
    if not line.strip():
        return None
    if line.lstrip().startswith(">") and not line.lstrip().startswith(">>>"):
        return "quote"
    line = line[:400]
    if _LOG_RE.match(line):
        return "log"
    if _TABLE_RE.match(line):
        return "document"
    if _CODE_RE.match(line) and not _reads_like_prose(line):
        return "code"
    return "voice"


def _reads_like_prose(line: str) -> bool:
    words = line.split()
    plain = sum(w.strip(".,!?'’:;()").isalpha() for w in words)
    return len(words) >= 4 and plain / len(words) > 0.85 and not re.search(r"[{};]\s*$|^\s*(?:</?\w|//|/\*)|\w\(", line)


def _lines(text: str, start: int, end: int) -> list[tuple[SpanKind, int, int]]:
    """Kinds of the lines of an unfenced stretch; short runs of code or log between prose stay voice."""
    rows: list[tuple[SpanKind | None, int, int]] = []
    at = start
    for line in text[start:end].splitlines(keepends=True):
        rows.append((_line_kind(line), at, at + len(line)))
        at += len(line)
    out: list[tuple[SpanKind, int, int]] = []
    i = 0
    while i < len(rows):
        kind = rows[i][0] or "voice"
        j, solid = i, 0
        while j < len(rows) and (rows[j][0] in (None, kind) or _bridges(rows, j, kind)):
            solid += rows[j][0] == kind
            j += 1
        j = max(j, i + 1)
        stretch = text[rows[i][1] : rows[j - 1][2]]
        keep = (
            kind in ("voice", "quote") or solid >= MIN_RUN or (kind in ("log", "code") and len(stretch.strip()) > 240)
        )
        out.append((kind if keep else "voice", rows[i][1], rows[j - 1][2]))
        i = j
    return out


def _bridges(rows: list[tuple[SpanKind | None, int, int]], j: int, kind: SpanKind) -> bool:
    """A lone line of another kind inside a run of code or log belongs to the run."""
    if kind not in ("code", "log") or j == 0 or j + 1 >= len(rows) or rows[j][2] - rows[j][1] > 160:
        return False
    near = [rows[j - 1][0], *(r[0] for r in rows[j + 1 : j + 3])]
    pasted = sum(k in ("code", "log") for k in near)
    return pasted >= 2 and near[0] in ("code", "log") if rows[j][0] == "voice" else rows[j][0] in ("code", "log")


def _documents(text: str, kinds: list[tuple[SpanKind, int, int]]) -> list[tuple[SpanKind, int, int]]:
    """Find the long text that an instruction in front of or behind it talks about."""
    out: list[tuple[SpanKind, int, int]] = []
    for kind, start, end in kinds:
        if kind != "voice" or end - start < LONG_VOICE:
            out.append((kind, start, end))
            continue
        out += _document_in(text, start, end)
    return out


def _paragraphs(text: str, start: int, end: int) -> list[tuple[int, int]]:
    cuts = [start, *(m.end() for m in _PARAGRAPH_RE.finditer(text, start, end)), end]
    return [(a, b) for a, b in pairwise(cuts) if text[a:b].strip()]


def _document_in(text: str, start: int, end: int) -> list[tuple[SpanKind, int, int]]:
    parts = _paragraphs(text, start, end)
    if len(parts) == 1:
        first_line = text.find("\n", start, end)
        if (
            0 < first_line - start <= 400
            and end - first_line > LONG_VOICE
            and _POINTER_RE.search(text[start:first_line])
        ):
            return [("voice", start, first_line + 1), ("document", first_line + 1, end)]
        colon = text.find(":", start, min(end, start + 300))
        if colon > 0 and _POINTER_RE.search(text[start : colon + 1]) and end - colon > LONG_VOICE:
            return [("voice", start, colon + 1), ("document", colon + 1, end)]
        return [("voice", start, end)]
    lead = 0
    while lead < len(parts) and _is_instruction(text, *parts[lead]):
        lead += 1
    tail = len(parts)
    while tail > lead and _is_instruction(text, *parts[tail - 1]):
        tail -= 1
    body = text[parts[lead][0] : parts[tail - 1][1]] if lead < tail else ""
    instruction = (
        text[start : parts[lead][0]] + (text[parts[tail][0] : end] if tail < len(parts) else "") if body else ""
    )
    pointed = any(_POINTER_RE.search(text[a:b].strip()) for a, b in parts[:lead] + parts[tail:])
    talk = len(re.findall(r"\b(?:please|you|your|i|my)\b", body, re.IGNORECASE)) / (len(body) / 100 + 1)
    enough = len(body) > LONG_VOICE and (pointed or talk < 0.6 or _spoken(body))
    if not body or not enough or (not instruction and len(body) < 2 * LONG_VOICE):
        return [("voice", start, end)]
    a, b = parts[lead][0], parts[tail][0] if tail < len(parts) else end
    return [(k, s, e) for k, s, e in (("voice", start, a), ("document", a, b), ("voice", b, end)) if e > s]  # type: ignore[misc]


def _is_instruction(text: str, start: int, end: int) -> bool:
    part = text[start:end].strip()
    return len(part) <= LONG_VOICE and _CUE_RE.search(part) is not None and not _SPEAKER_RE.match(part)


def _spoken(body: str) -> bool:
    lines = [line for line in body.splitlines() if line.strip()]
    return len(lines) >= 4 and sum(bool(_SPEAKER_RE.match(line)) for line in lines) > len(lines) / 3


def _merge(text: str, kinds: list[tuple[SpanKind, int, int]]) -> list[tuple[SpanKind, int, int]]:
    """Join neighbours of one kind; blank stretches go with what stands before them."""
    out: list[tuple[SpanKind, int, int]] = []
    for kind, start, end in kinds:
        if start >= end:
            continue
        if out and (out[-1][0] == kind or not text[start:end].strip()):
            out[-1] = (out[-1][0], out[-1][1], end)
        elif out and len(out) == 1 and not text[out[0][1] : out[0][2]].strip():
            out[0] = (kind, out[0][1], end)
        else:
            out.append((kind, start, end))
    return out
