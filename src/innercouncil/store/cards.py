"""The council's personas in council.db: each with all its versions; nothing a person wrote is overwritten."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from innercouncil.model.card import PersonaCard, PersonaVersion, SeatedPersona, earlier_of
from innercouncil.model.errors import PersonaNotFoundError, UsageError
from innercouncil.model.persona import called_now
from innercouncil.store.database import Database, Made, changes_in, unfinished_in

Reason = Literal["generated", "edited", "imported", "duplicated", "created", "undone"]
Origin = Literal["discovered", "created", "imported", "duplicated"]


class Synced(NamedTuple):
    """What bringing the discovered personas in did, as slugs."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    kept: tuple[str, ...]
    """Edited by the person while discovery wrote a newer prompt: left as they are."""
    archived: tuple[str, ...]
    """No longer discovered."""


class CardStore:
    """The personas of a workspace's council; each is found by its slug, and by what discovery calls it or called it once."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self, *, archived: bool = False) -> list[SeatedPersona]:
        """The personas in their order; archived ones only on request."""
        with self._db.reading() as db:
            where = "" if archived else "WHERE p.archived = 0"
            return [_seated(row) for row in db.execute(_SELECT + where + " ORDER BY p.position, p.id")]

    def get(self, slug: str) -> SeatedPersona:
        """The persona. Raises PersonaNotFoundError."""
        with self._db.reading() as db:
            return _get(db, slug)

    def named(self, slugs: Iterable[str] | None) -> list[SeatedPersona]:
        """The personas of these names, each once; all that are enabled where there are none. Raises PersonaNotFoundError."""
        if slugs is None:
            return [p for p in self.all() if p.enabled]
        return list({p.slug: p for p in map(self.get, slugs)}.values())

    def versions(self, slug: str) -> list[PersonaVersion]:
        """All versions, newest first. Raises PersonaNotFoundError."""
        with self._db.reading() as db:
            slug = _get(db, slug).slug
            rows = db.execute(
                "SELECT v.id, v.number, v.made_at, v.reason, v.card FROM persona_version v JOIN persona p ON p.id = v.persona "
                "WHERE p.slug = ? ORDER BY v.number DESC",
                (slug,),
            )
            return [_version(row) for row in rows]

    def unfinished(self) -> Made | None:
        """The change of discovery's personas that was cut off, None where none was."""
        with self._db.reading() as db:
            return unfinished_in(db)

    def generated(self, slug: str) -> str | None:
        """The prompt discovery wrote for it last, None for one that was not discovered. Raises PersonaNotFoundError."""
        with self._db.reading() as db:
            row = db.execute("SELECT generated, origin FROM persona WHERE slug = ?", (_get(db, slug).slug,)).fetchone()
            return str(row[0]) if row[1] == "discovered" else None

    def add(self, card: PersonaCard, slug: str, origin: Origin, *, enabled: bool = True) -> SeatedPersona:
        """Seat a new persona under `slug`, or `slug-2` … where that is taken."""
        reason: Reason = "generated" if origin == "discovered" else origin
        with self._db.transaction() as db:
            free = _free_slug(db, slug)
            _create(db, free, card, origin, reason, enabled=enabled, source=None, generated="")
            return _get(db, free)

    def save(self, slug: str, card: PersonaCard, reason: Reason = "edited") -> SeatedPersona:
        """Add a version; nothing happens where the card is as it was. Raises PersonaNotFoundError."""
        with self._db.transaction() as db:
            present = _get(db, slug)
            if present.card != card:
                _add_version(db, present.slug, card, reason)
            return _get(db, present.slug)

    def restore(self, slug: str, number: int) -> SeatedPersona:
        """Bring an earlier version back, as a new one. Raises PersonaNotFoundError, UsageError."""
        for version in self.versions(slug):
            if version.number == number:
                return self.save(slug, version.card)
        raise UsageError(f"{slug} has no version {number}; its history shows which there are.")

    def earlier(self, slug: str) -> PersonaVersion | None:
        """The version an undo goes back to, None where there is none. Raises PersonaNotFoundError."""
        return earlier_of(self.versions(slug))

    def undo(self, slug: str) -> SeatedPersona:
        """Go back to the version before the present one. Raises PersonaNotFoundError, UsageError where there is none."""
        earlier = self.earlier(slug)
        if earlier is None:
            raise UsageError(f"{slug} has no earlier version to go back to.")
        return self.save(slug, earlier.card, "undone")

    def enable(self, slug: str, enabled: bool) -> SeatedPersona:
        """Seat the persona by default, or not. Raises PersonaNotFoundError."""
        with self._db.transaction() as db:
            slug = _get(db, slug).slug
            db.execute("UPDATE persona SET enabled = ? WHERE slug = ?", (int(enabled), slug))
            return _get(db, slug)

    def follow(self, source: str, renamed: str) -> None:
        """A discovered persona was renamed: its card follows, with its history; one that is no longer discovered gives way."""
        with self._db.transaction() as db:
            rows = db.execute("SELECT source, id, archived FROM persona WHERE source IN (?, ?)", (source, renamed))
            at = {row[0]: row[1:] for row in rows}
            held = at.get(renamed)
            if source not in at or (held is not None and held[1] != _GONE):
                return
            steps: list[tuple[str | None, int]] = [(renamed, at[source][0])]
            if held is not None:
                steps = [(None, held[0]), *steps, (source, held[0])]
            db.executemany("UPDATE persona SET source = ? WHERE id = ?", steps)

    def remove(self, slug: str) -> None:
        """Delete a persona with its history; a discovered one is archived, so that it does not come back by itself."""
        with self._db.transaction() as db:
            present = _get(db, slug)
            if present.origin == "discovered":
                db.execute("UPDATE persona SET archived = ?, enabled = 0 WHERE slug = ?", (_REMOVED, present.slug))
            else:
                db.execute("DELETE FROM persona WHERE slug = ?", (present.slug,))

    def removed(self) -> list[SeatedPersona]:
        """The discovered personas that the person removed, in their order."""
        with self._db.reading() as db:
            where = f"WHERE p.archived = {_REMOVED} ORDER BY p.position, p.id"
            return [_seated(row) for row in db.execute(_SELECT + where)]

    def bring_back(self, slug: str) -> SeatedPersona:
        """Seat a persona again that the person removed; any other stays as it is. Raises PersonaNotFoundError."""
        with self._db.transaction() as db:
            slug = _get(db, slug).slug
            db.execute("UPDATE persona SET archived = 0, enabled = 1 WHERE slug = ? AND archived = ?", (slug, _REMOVED))
            return _get(db, slug)

    def sync(self, generated: Mapping[str, PersonaCard], *, overwrite: frozenset[str] = frozenset()) -> Synced:
        """Bring discovered personas (slug -> card) in. What the person edited stays, unless named in `overwrite`.

        Raises PersonaNotFoundError where `overwrite` names nobody. Personas that are discovered no more are archived; one that returns under its old slug is seated again, unless
        the person removed it while it was still discovered.
        """
        created, updated, kept, archived = [], [], [], []
        with self._db.transaction() as db:
            known = {
                row[0]: row[1:]
                for row in db.execute("SELECT source, slug, generated, archived FROM persona WHERE source IS NOT NULL")
            }
            overwrite = frozenset(_get(db, slug).slug for slug in overwrite)
            for position, (source, card) in enumerate(generated.items()):
                if source not in known:
                    slug = _free_slug(db, source)
                    _create(
                        db, slug, card, "discovered", "generated", enabled=True, source=source, generated=card.system
                    )
                    created.append(slug)
                else:
                    slug, before, hidden = known[source]
                    if hidden == _GONE:
                        db.execute("UPDATE persona SET archived = 0, enabled = 1 WHERE slug = ?", (slug,))
                    present = _get(db, slug)
                    edited = present.card.system != before
                    if (
                        before != card.system
                        and edited
                        and slug not in overwrite
                        and present.card.system != card.system
                    ):
                        kept.append(slug)
                    elif present.card.system != card.system and (not edited or slug in overwrite):
                        fresh = msgspec.structs.replace(
                            present.card, system=card.system,
                            name=present.card.name if _renamed(db, slug, present.card.name) else card.name,
                            description=card.description,
                        )  # fmt: skip
                        _add_version(db, slug, fresh, "generated")
                        updated.append(slug)
                    if slug not in kept:
                        db.execute("UPDATE persona SET generated = ? WHERE slug = ?", (card.system, slug))
                db.execute("UPDATE persona SET position = ? WHERE slug = ?", (position - 1000, slug))
            for source, (slug, _, hidden) in known.items():
                if source not in generated and not hidden:
                    db.execute("UPDATE persona SET archived = ?, enabled = 0 WHERE slug = ?", (_GONE, slug))
                    archived.append(slug)
        return Synced(tuple(created), tuple(updated), tuple(kept), tuple(archived))


_REMOVED, _GONE = 1, 2
"""Values of `archived`: removed by the person, and no longer found by discovery."""
_SELECT = (
    "SELECT p.slug, p.origin, p.source, p.enabled, p.archived, p.generated, v.id, v.number, v.made_at, v.reason, v.card "
    "FROM persona p JOIN persona_version v ON v.persona = p.id "
    "AND v.number = (SELECT max(number) FROM persona_version WHERE persona = p.id) "
)


def _get(db: sqlite3.Connection, slug: str) -> SeatedPersona:
    row = db.execute(_SELECT + "WHERE p.slug = ?", (slug,)).fetchone()
    for source in (slug, called_now(slug, changes_in(db))) if row is None else ():
        row = row or db.execute(_SELECT + "WHERE p.source = ?", (source,)).fetchone()
    if row is None:
        known = ", ".join(r[0] for r in db.execute("SELECT slug FROM persona WHERE archived = 0 ORDER BY position, id"))
        raise PersonaNotFoundError(f"There is no persona called {slug[:80]!r}; there are: {known or 'none yet'}.")
    return _seated(row)


def _renamed(db: sqlite3.Connection, slug: str, name: str) -> bool:
    """Whether the person gave it another name than discovery did last."""
    row = db.execute(
        "SELECT v.card ->> '$.name' FROM persona_version v JOIN persona p ON p.id = v.persona "
        "WHERE p.slug = ? AND v.reason = 'generated' ORDER BY v.number DESC LIMIT 1",
        (slug,),
    ).fetchone()
    return row is not None and row[0] != name


def _seated(row: tuple[object, ...]) -> SeatedPersona:
    slug, origin, source, enabled, archived, generated = row[:6]
    version = _version(row[6:])
    return SeatedPersona(
        slug=str(slug), origin=origin, source=source, enabled=bool(enabled), archived=bool(archived),  # type: ignore[arg-type]
        edited=origin == "discovered" and version.card.system != generated, version=version,
    )  # fmt: skip


def _version(row: tuple[object, ...]) -> PersonaVersion:
    number, at, made_at, reason, card = row
    return PersonaVersion(
        id=number, number=at, made_at=made_at, reason=reason, card=msgspec.json.decode(str(card), type=PersonaCard),  # type: ignore[arg-type]
    )  # fmt: skip


def _create(
    db: sqlite3.Connection, slug: str, card: PersonaCard, origin: Origin, reason: Reason, *, enabled: bool,
    source: str | None, generated: str,
) -> None:  # fmt: skip
    db.execute(
        "INSERT INTO persona (slug, origin, source, enabled, generated) VALUES (?, ?, ?, ?, ?)",
        (slug, origin, source, int(enabled), generated),
    )
    _add_version(db, slug, card, reason)


def _add_version(db: sqlite3.Connection, slug: str, card: PersonaCard, reason: Reason) -> None:
    db.execute(
        "INSERT INTO persona_version (persona, number, made_at, reason, card) "
        "SELECT id, 1 + coalesce((SELECT max(number) FROM persona_version WHERE persona = p.id), 0), ?, ?, ? "
        "FROM persona p WHERE slug = ?",
        (datetime.now(UTC).isoformat(timespec="milliseconds"), reason, msgspec.json.encode(card).decode(), slug),
    )


def _free_slug(db: sqlite3.Connection, slug: str) -> str:
    taken = {row[0] for row in db.execute("SELECT slug FROM persona")}
    number, free = 1, slug
    while free in taken:
        number += 1
        free = f"{slug}-{number}"
    return free
