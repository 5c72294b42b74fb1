"""A persona as it sits in the council: what a person edits, imports and exports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

CardFormat = Literal["card-v2", "card-v3", "card-png", "modelfile", "open-webui", "llm-template", "skill", "markdown"]
CARD_FORMATS: tuple[CardFormat, ...] = (
    "card-v2", "card-v3", "card-png", "modelfile", "open-webui", "llm-template", "skill", "markdown",
)  # fmt: skip


class Example(msgspec.Struct, frozen=True):
    """An exchange that shows how the persona speaks."""

    user: str
    assistant: str


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """The file a card came from, kept so that fields we do not know survive a round trip."""

    format: CardFormat
    data: dict[str, Any]
    """The parsed fields of the file; for PNG the picture is in `picture`."""
    picture: bytes = b""


class SeatedAdapter(msgspec.Struct, frozen=True, kw_only=True):
    """The adapter (LoRA) a persona speaks with."""

    name: str
    """Its persona and the beginning of its digest: another training has another name."""
    sha256: str
    """Of loras/persona_<slug>/adapter.gguf."""
    base: str
    """File name of the GGUF it passed its gates on."""
    base_sha256: str
    forced: str = ""
    """Why the person seated it although its gates say no."""


class PersonaCard(msgspec.Struct, frozen=True, kw_only=True):
    """The canonical persona card."""

    name: str
    """1 to 80 characters, no control characters."""
    description: str = ""
    system: str
    """The system prompt, as the model gets it."""
    temperature: float | None = None
    """0 to 2; None for the council's default."""
    top_p: float | None = None
    greeting: str = ""
    examples: tuple[Example, ...] = ()
    tags: tuple[str, ...] = ()
    creator: str = ""
    version: str = ""
    license: str = ""
    base_model: str = ""
    adapter: SeatedAdapter | None = None
    """None: the prompt alone."""
    original: Original | None = None


class CardFile(msgspec.Struct, frozen=True, kw_only=True):
    """A card written in another program's format."""

    filename: str
    media_type: str
    content: bytes
    loss: tuple[str, ...] = ()
    """What that format cannot hold, a sentence each."""


class ImportedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card read from a file, and what has to be told about it before it is seated."""

    card: PersonaCard
    format: CardFormat
    loss: tuple[str, ...] = ()
    """What the file held that the council does not use (it is kept for the way back), a sentence each."""
    warnings: tuple[str, ...] = ()
    """What looks hostile in it: hidden characters, text that speaks to judges, code that is ignored."""


class PersonaVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One state of a persona of the council."""

    id: int
    number: int
    """1 is the first."""
    made_at: str
    """UTC, ISO 8601."""
    reason: Literal["generated", "edited", "imported", "duplicated", "created", "undone"]
    card: PersonaCard


def earlier_of(versions: Sequence[PersonaVersion]) -> PersonaVersion | None:
    """The version an undo goes back to, None where there is none; `versions` are all of a persona, the newest first.

    An undo is a version too, so going back goes on from there.
    """
    at = 0
    while at < len(versions) and versions[at].reason == "undone":
        at += 1
    back = 2 * at + 1
    return versions[back] if back < len(versions) else None


class SeatedPersona(msgspec.Struct, frozen=True, kw_only=True):
    """A persona of the council with its newest version."""

    slug: str
    origin: Literal["discovered", "created", "imported", "duplicated"]
    source: str | None
    """Slug of the discovered persona it follows, None for others."""
    enabled: bool
    archived: bool
    edited: bool
    """Whether its prompt differs from the one discovery wrote last."""
    version: PersonaVersion

    @property
    def card(self) -> PersonaCard:
        """The card in force."""
        return self.version.card
