"""The vocabulary of an export: conversations, messages, and what in a message is the person's own voice."""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["user", "assistant", "system", "tool"]
SpanKind = Literal["voice", "code", "log", "quote", "document"]
Branch = Literal["active", "edited"]


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A half-open range `[start, end)` of characters of a message's text.

    `voice` is the person's own words; `code`, `log`, `quote` and `document` are pasted material.
    """

    kind: SpanKind
    start: int
    end: int


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of the person with what it answers. Texts hold no NUL and no lone surrogate.

    `id` is unique within the import: the export's message id where it has one that is unique, otherwise
    `<conversation id>#<n>`. `context` is the (possibly clipped) assistant text it answers, "" at the start of a
    conversation. `time` is seconds since the epoch, UTC. `position` counts the person's messages on the active branch from 0;
    an edited branch carries the position of the message it replaced. `spans` partition `text` in order, without
    gaps or overlaps.
    """

    id: str
    conversation_id: str
    title: str
    position: int
    text: str
    context: str = ""
    reply: str = ""
    """The (possibly clipped) beginning of the assistant's answer to it; "" where there is none."""
    time: float | None = None
    branch: Branch = "active"
    model: str | None = None
    assistant_id: str | None = None
    """The custom GPT, project or character the conversation was held with, as the export names it."""
    attachments: tuple[str, ...] = ()
    language: str | None = None
    """ISO 639-1 code, None where the voice is too short to tell."""
    archived: bool = False
    source: str = ""
    """Name of the reader, e.g. "chatgpt"."""
    spans: tuple[Span, ...] = ()

    @property
    def voice(self) -> str:
        """The person's own words: voice spans joined by a newline; the whole text where no spans are known."""
        if not self.spans:
            return self.text
        return "\n".join(s for p in self.spans if p.kind == "voice" and (s := self.text[p.start : p.end].strip()))

    @property
    def pasted_chars(self) -> int:
        """Number of characters of pasted material."""
        return sum(p.end - p.start for p in self.spans if p.kind != "voice")


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A message as a reader found it, before context and spans are worked out (any role)."""

    role: Role
    text: str
    id: str | None = None
    time: float | None = None
    model: str | None = None
    attachments: tuple[str, ...] = ()
    pasted: tuple[str, ...] = ()
    """Material that the export itself keeps apart from the person's words (e.g. Claude's extracted_content)."""
    branch: Branch = "active"


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """The turns of one conversation in reading order; an edited branch stands before the turn that replaced it."""

    id: str
    title: str
    turns: tuple[Turn, ...]
    time: float | None = None
    model: str | None = None
    assistant_id: str | None = None
    archived: bool = False
    instructions: str = ""
    """The person's custom instructions kept with the conversation (not a message, but evidence)."""


class ImportReport(msgspec.Struct, kw_only=True):
    """What a reader saw, kept and left out. `skipped` maps a reason in plain words to a count."""

    format: str
    source_name: str
    bytes: int = 0
    conversations: int = 0
    messages: int = 0
    user_messages: int = 0
    user_chars: int = 0
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    warnings: list[str] = msgspec.field(default_factory=list)
    instructions: list[str] = msgspec.field(default_factory=list)
    """Distinct custom instructions of the person, in order of appearance."""

    def skip(self, reason: str, count: int = 1) -> None:
        """Count something left out under `reason`."""
        self.skipped[reason] = self.skipped.get(reason, 0) + count
