"""The council's personas: brought in from discovery, edited, imported, exported."""

from __future__ import annotations

import difflib
from typing import Literal, NamedTuple

import msgspec

from innercouncil.app.findings import changed, edited_prompt, load_discovery
from innercouncil.model.card import CardFile, CardFormat, ImportedCard, PersonaCard, SeatedPersona
from innercouncil.model.errors import NothingToDiscoverError, UsageError
from innercouncil.model.persona import Change, Persona, PromptLine, SystemPrompt
from innercouncil.model.slug import NAME_CHARS, slug_of
from innercouncil.store.cards import CardStore, Synced
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace

SYSTEM_CHARS = 40_000


class DiffLine(msgspec.Struct, frozen=True):
    """A line of a comparison of two prompts."""

    kind: Literal["same", "added", "removed"]
    text: str


def sync_personas(workspace: Workspace, cards: CardStore, *, overwrite: frozenset[str] = frozenset()) -> Synced:
    """Bring the discovered personas into the council. What the person edited stays, unless named in `overwrite`.

    Raises NothingToDiscoverError where nothing was discovered yet.
    """
    discovery = load_discovery(workspace)
    generated = _generated(workspace)
    _catch_up(cards, frozenset(generated))
    known = {p.source for p in cards.all(archived=True)}
    synced = cards.sync(
        {
            slug: PersonaCard(name=g.name, description=g.description, system=g.text, creator="innercouncil")
            for slug, g in generated.items()
        },
        overwrite=overwrite,
    )
    for persona in discovery.personas:
        if persona.origin == "edited" and persona.slug not in known and persona.slug in generated:
            for card in cards.all():
                if card.source == persona.slug:
                    cards.save(card.slug, msgspec.structs.replace(card.card, system=persona.prompt.text))
    return synced


class _Generated(msgspec.Struct):
    name: str
    description: str
    text: str
    tokens: int = 0
    budget: int = 0
    lines: tuple[PromptLine, ...] = ()


def _generated(workspace: Workspace) -> dict[str, _Generated]:
    try:
        return msgspec.json.decode(workspace.generated_prompts.read_bytes(), type=dict[str, _Generated])
    except (OSError, msgspec.MsgspecError):
        raise NothingToDiscoverError(
            f"{workspace.generated_prompts} is missing or damaged; run `innercouncil discover EXPORT` again."
        ) from None


def newest_prompt(workspace: Workspace, cards: CardStore, slug: str) -> str:
    """What discovery would write for a persona now, its present prompt where it writes nothing.

    Raises NothingToDiscoverError, PersonaNotFoundError.
    """
    seated = cards.get(slug)
    found = _generated(workspace).get(seated.source or "")
    return found.text if found else seated.card.system


def _catch_up(cards: CardStore, there: frozenset[str]) -> None:
    """Where a renaming was cut off before the council's persona followed, it follows now: it is no new persona."""
    made = cards.unfinished()
    if made is None or made.change.action != "rename":
        return
    old, new = made.change.slug, slug_of(made.change.value)
    if made.undone:
        old, new = new, old
    if new in there and old not in there:
        cards.follow(old, new)


def follow_change(workspace: Workspace, cards: CardStore, change: Change, *, undone: bool = False) -> None:
    """After discovery's personas were changed (or a change taken back): the council's follow, with their history."""
    old, new = change.slug, slug_of(change.value) if change.action == "rename" else change.slug
    if undone:
        old, new = new, old
    if change.action == "rename":
        cards.follow(old, new)
    of_change = frozenset(p.slug for p in cards.all() if p.source == new)
    sync_personas(workspace, cards, overwrite=of_change if change.action == "choose" else frozenset())
    found = {p.slug: p for p in load_discovery(workspace).personas}
    for seated in cards.all():
        if seated.source == new and new in found and change.action in ("rename", "edit", "choose"):
            card = seated.card
            if change.action == "rename":
                card = msgspec.structs.replace(card, name=found[new].name)
            else:
                card = msgspec.structs.replace(card, system=found[new].prompt.text)
            cards.save(seated.slug, card, "undone" if undone else "edited")


def edit_persona(workspace: Workspace, cards: CardStore, slug: str, card: PersonaCard) -> SeatedPersona:
    """Keep the person's version. For a discovered persona the next run of discovery knows of it too.

    Raises PersonaNotFoundError, UsageError for an empty or overlong text.
    """
    return _told(workspace, cards.get(slug), cards.save(slug, checked(card)))


def undo_persona(workspace: Workspace, cards: CardStore, slug: str) -> SeatedPersona:
    """Go back one version. Raises PersonaNotFoundError, UsageError where there is none before."""
    return _told(workspace, cards.get(slug), cards.undo(slug))


def restore_persona(workspace: Workspace, cards: CardStore, slug: str, number: int) -> SeatedPersona:
    """Bring a version back. Raises PersonaNotFoundError, UsageError for a version that is not there."""
    return _told(workspace, cards.get(slug), cards.restore(slug, number))


def _told(workspace: Workspace, before: SeatedPersona, saved: SeatedPersona) -> SeatedPersona:
    """Let discovery know of another prompt for one of its personas: the next run writes it into its files."""
    if saved.source is not None and saved.card.system != before.card.system:
        changed(workspace, Change(action="edit", slug=saved.source, value=saved.card.system.strip() + "\n"))
    return saved


def discovered_persona(workspace: Workspace, cards: CardStore, slug: str) -> Persona | None:
    """What discovery found for a seated persona, its prompt's lines being those of the present prompt.

    None where it was not discovered. Raises PersonaNotFoundError.
    """
    seated = cards.get(slug)
    if seated.source is None or not workspace.discovery.exists():
        return None
    found = next((p for p in load_discovery(workspace).personas if p.slug == seated.source), None)
    made = _generated(workspace).get(seated.source)
    if found is None or made is None:
        return found
    prompt = SystemPrompt(text=made.text, tokens=made.tokens, budget=made.budget, lines=made.lines)
    return msgspec.structs.replace(found, prompt=edited_prompt(prompt, seated.card.system))


def create_persona(cards: CardStore, card: PersonaCard) -> SeatedPersona:
    """Seat a persona made by hand."""
    card = checked(card)
    return cards.add(card, slug_of(card.name), "created")


def duplicate_persona(cards: CardStore, slug: str, name: str = "") -> SeatedPersona:
    """Seat a copy, to try another wording against the first."""
    original = cards.get(slug).card
    card = checked(msgspec.structs.replace(original, name=name or f"{original.name[: NAME_CHARS - 7]} (copy)"))
    return cards.add(card, slug_of(card.name), "duplicated")


def removed_personas(workspace: Workspace, cards: CardStore) -> list[SeatedPersona]:
    """The personas that the person removed and discovery still finds: they can be brought back.

    Raises NothingToDiscoverError where what was discovered is damaged.
    """
    there = _generated(workspace) if workspace.discovery.exists() else {}
    return [p for p in cards.removed() if p.source in there]


def bring_back(workspace: Workspace, cards: CardStore, slug: str) -> SeatedPersona:
    """Seat a removed persona again. Raises PersonaNotFoundError, NothingToDiscoverError, UsageError."""
    present = cards.get(slug)
    if present.slug not in {p.slug for p in removed_personas(workspace, cards)}:
        raise UsageError(
            f"{present.card.name} was not removed, or is no longer discovered; there is nothing to bring back."
        )
    return cards.bring_back(present.slug)


def preview_cards(data: bytes, filename: str) -> list[ImportedCard]:
    """What a file holds, before anything is kept. Raises CardError."""
    from innercouncil.cards.registry import read_card

    return read_card(data, filename)


def import_card(cards: CardStore, data: bytes, filename: str, index: int = 0) -> SeatedPersona:
    """Keep a persona from a file; it is seated only after the person enabled it. Raises CardError, UsageError."""
    found = preview_cards(data, filename)
    if not 0 <= index < len(found):
        raise UsageError(f"The file holds {len(found)} personas, there is no number {index}.")
    card = checked(found[index].card)
    return cards.add(card, slug_of(card.name), "imported", enabled=False)


def export_card(cards: CardStore, slug: str, format: CardFormat) -> CardFile:  # noqa: A002 - the field's own word
    """The persona in another program's format."""
    from innercouncil.cards.registry import write_card

    return write_card(cards.get(slug).card, format)


def diff_prompts(generated: str, present: str) -> list[DiffLine]:
    """The generated prompt against the present one, line by line."""
    out: list[DiffLine] = []
    for line in difflib.ndiff(generated.splitlines(), present.splitlines()):
        if line[:1] in " +-":
            kind: Literal["same", "added", "removed"] = {" ": "same", "+": "added", "-": "removed"}[line[0]]  # type: ignore[assignment]
            out.append(DiffLine(kind, line[2:]))
    return out


def checked(card: PersonaCard) -> PersonaCard:
    """The card with a clean name. Raises UsageError for what cannot be seated."""
    name = " ".join("".join(c for c in card.name if c.isprintable() or c.isspace()).split())
    if not 1 <= len(name) <= NAME_CHARS:
        raise UsageError(f"A name has 1 to {NAME_CHARS} characters; give another one.")
    if not card.system.strip():
        raise UsageError("The prompt is empty; write at least one line.")
    if len(card.system) > SYSTEM_CHARS:
        raise UsageError(f"The prompt has {len(card.system)} characters, {SYSTEM_CHARS} is the most; shorten it.")
    if card.temperature is not None and not 0 <= card.temperature <= 2:
        raise UsageError("The temperature is a number from 0 to 2.")
    return msgspec.structs.replace(card, name=name, description=card.description.strip()[:2000])


class CouncilPersonas(NamedTuple):
    """Workspace and personas together, as most use cases need them."""

    workspace: Workspace
    database: Database
    cards: CardStore


def open_personas(workspace: Workspace) -> CouncilPersonas:
    """Open the council's personas; the discovered ones are brought in if there are any."""
    database = Database(workspace.database)
    cards = CardStore(database)
    if workspace.discovery.exists():
        sync_personas(workspace, cards)
    return CouncilPersonas(workspace, database, cards)
