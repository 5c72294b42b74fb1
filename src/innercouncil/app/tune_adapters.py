"""Adapters of the council's personas: found by name, loaded, seated after their gates, and taken away again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from innercouncil.app.tune_card import GATES, save_card
from innercouncil.app.tune_watch import adapter_folder, find_card
from innercouncil.model.card import SeatedAdapter, SeatedPersona
from innercouncil.model.errors import PersonaNotFoundError, UsageError
from innercouncil.model.gates import GateReport
from innercouncil.model.slug import slug_of
from innercouncil.model.training import AdapterCard
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace, file_digest, fingerprint

if TYPE_CHECKING:
    from innercouncil.app.backends import Backends
    from innercouncil.app.council import House

GGUF: Final = "adapter.gguf"
NAME_DIGITS: Final = 12
REASON_CHARS: Final = 500


class Adapter(NamedTuple):
    """A trained adapter."""

    slug: str
    """Of the persona whose rows it was trained on."""
    folder: Path
    card: AdapterCard
    sha256: str

    @property
    def file(self) -> Path:
        """The adapter for llama.cpp."""
        return self.folder / GGUF

    @property
    def name(self) -> str:
        """What it is called where it is served."""
        return name_of(self.slug, self.sha256)


def name_of(slug: str, sha256: str) -> str:
    """Persona and beginning of the digest."""
    return f"{slug}-{sha256[:NAME_DIGITS]}"


def adapter_of(house: House, persona: str) -> Adapter:
    """The adapter that was trained for a persona (a slug of the council or of a training). Raises UsageError."""
    return adapter_in(
        house, adapter_folder(house.workspace, training_slug(house, persona)).name.removeprefix("persona_")
    )


def adapter_in(house: House, slug: str) -> Adapter:
    """The adapter in the folder of a training. Raises UsageError."""
    folder = house.workspace.loras / f"persona_{slug}"
    card, file = find_card(folder), folder / GGUF
    if card is None or not file.is_file():
        raise UsageError(
            f"There is no adapter for {slug[:80]} in {folder}; `innercouncil tune train --persona {slug[:80]}` makes one."
        )
    return Adapter(slug, folder, card, digest_of(house.database, file))


def training_slug(house: House, persona: str) -> str:
    """The slug a persona's rows and adapter have: that of the discovered persona it follows."""
    try:
        seated = house.cards.get(persona)
    except PersonaNotFoundError:
        return slug_of(persona)
    return seated.source or seated.slug


def prompt_in_force(house: House, persona: str) -> str | None:
    """The system prompt of a persona of the council, None where it has no seat there."""
    try:
        return house.cards.get(persona).card.system
    except PersonaNotFoundError:
        return None


def prompt_digest(system: str) -> str:
    """What tells two prompts apart."""
    return fingerprint(system=system.strip())


def digest_of(database: Database, path: Path) -> str:
    """SHA-256 of a file; for one that did not change since, from council.db: base models have gigabytes."""
    stat = path.stat()
    mark, key = f"{stat.st_size}:{stat.st_mtime_ns}:", f"sha256:{path.resolve()}"
    known = database.setting(key) or ""
    if known.startswith(mark):
        return known[len(mark) :]
    digest = file_digest(path)
    database.set(key, mark + digest)
    return digest


def read_gates(adapter: Adapter) -> GateReport | None:
    """What its gates said, None where they were not run on exactly this adapter."""
    try:
        report = msgspec.json.decode((adapter.folder / GATES).read_bytes(), type=GateReport)
    except (OSError, msgspec.MsgspecError):
        return None
    return report if report.sha256 == adapter.sha256 else None


# --- serving ---


def file_of(workspace: Workspace, database: Database, name: str) -> Path:
    """The file of an adapter by its name. Raises UsageError where it is gone, or was trained anew."""
    slug = name.rpartition("-")[0]
    file = workspace.loras / f"persona_{slug}" / GGUF
    if not file.is_file() or name_of(slug, digest_of(database, file)) != name:
        raise UsageError(
            f"The adapter {name} is not there any more (it was removed, or trained anew): run `innercouncil tune gates --persona "
            f"{slug}` and `tune seat`, or `innercouncil tune unseat --persona {slug}`."
        )
    return file


async def load_adapters(house: House, needed: Iterable[str]) -> None:
    """Have llama.cpp load the adapters that are `needed`, and with them those of everybody who sits, where they are there; a
    server elsewhere has its own.

    Raises UsageError where a needed one is not there.
    """
    if (await house.backends.resolve(house.backends.settings.worker)).kind == "openai":
        return
    wanted = set(needed)
    sitting = {p.card.adapter.name for p in house.cards.all() if p.enabled and p.card.adapter}

    def files() -> dict[str, Path]:
        found = {}
        for name in sorted(wanted | sitting):
            try:
                found[name] = file_of(house.workspace, house.database, name)
            except UsageError:
                if name in wanted:
                    raise
        return found

    house.backends.serve(await asyncio.to_thread(files) if wanted | sitting else {})


async def check_bases(house: House, seated: Iterable[SeatedPersona]) -> None:
    """Raises UsageError where somebody's adapter was made for another model than the council's workers use now."""
    for persona in seated:
        adapter = persona.card.adapter
        if adapter is not None and not await is_base(house.backends, house.database, adapter.base_sha256):
            raise UsageError(
                f"{persona.slug} speaks with an adapter for {adapter.base}, and the workers' model is "
                f"{house.backends.settings.worker} now: go back with `innercouncil models use --worker`, or take the adapter "
                f"away with `innercouncil tune unseat --persona {persona.slug}`."
            )


async def is_base(backends: Backends, database: Database, sha256: str) -> bool:
    """Whether the workers' model is the file with this digest, served by llama.cpp, or a server's that lists its adapters by
    name: what they were loaded on there cannot be told from here.
    """
    spec = await backends.resolve(backends.settings.worker)
    if spec.kind == "openai":
        return True
    return spec.kind == "gguf" and await asyncio.to_thread(digest_of, database, Path(spec.name)) == sha256


def may_be_tested(house: House, persona: str) -> Adapter:
    """The adapter of a persona, for an A/B test: one that passed its gates, or that the person seated. Raises UsageError."""
    adapter, seated = adapter_of(house, persona), house.cards.get(persona).card.adapter
    report = read_gates(adapter)
    if report is None:
        raise UsageError(
            f"The gates of {adapter.name} were not run: `innercouncil tune gates --persona {persona}` does."
        )
    if not report.passed and (seated is None or seated.sha256 != adapter.sha256):
        raise UsageError(
            f"{adapter.name} may not serve, because of: {', '.join(report.blocking)}. `innercouncil tune seat --persona {persona} "
            "--force REASON` seats it all the same; then it can be tested too."
        )
    return adapter


async def check_gated(house: House, names: Iterable[str]) -> None:
    """Raises UsageError where adapters are to speak on another model than the one they passed their gates on."""
    for name in names:
        report = read_gates(adapter_in(house, name.rpartition("-")[0]))
        if report is None or not await is_base(house.backends, house.database, report.base_sha256):
            raise UsageError(
                f"{name} did not pass its gates on the workers' model, {house.backends.settings.worker}: run `innercouncil tune "
                "gates`, or go back to the model it passed on with `innercouncil models use --worker`."
            )


# --- seating ---


async def seat_adapter(house: House, persona: str, *, force: str = "") -> SeatedPersona:
    """Let a persona of the council speak with its adapter. With `force`, a reason in words, also where its gates say no.

    Raises UsageError, PersonaNotFoundError, BackendError.
    """
    seated, adapter = house.cards.get(persona), adapter_of(house, persona)
    report, reason = read_gates(adapter), " ".join(force.split())[:REASON_CHARS]
    if report is None:
        raise UsageError(
            f"The gates of {adapter.name} were not run: `innercouncil tune gates --persona {seated.slug}` does."
        )
    if not report.passed and not reason:
        raise UsageError(
            f"{adapter.name} may not serve, because of: {', '.join(report.blocking)}. Train it with other settings or rows; "
            "--force REASON seats it all the same, and its card says why."
        )
    if report.prompt_sha256 != prompt_digest(seated.card.system) and not reason:
        raise UsageError(
            f"The prompt of {seated.slug} was changed after the gates; run `innercouncil tune gates --persona {seated.slug}` again."
        )
    if not await is_base(house.backends, house.database, report.base_sha256):
        raise UsageError(
            f"{adapter.name} passed its gates on {report.base}, and the workers' model is {house.backends.settings.worker}: "
            "`innercouncil models use --worker FILE.gguf` makes that file the workers' model."
        )
    forced = "" if report.passed else reason
    made = SeatedAdapter(
        name=adapter.name, sha256=adapter.sha256, base=report.base, base_sha256=report.base_sha256, forced=forced
    )
    save_card(msgspec.structs.replace(adapter.card, forced=forced), adapter.folder)
    return house.cards.save(seated.slug, msgspec.structs.replace(seated.card, adapter=made))


def unseat_adapter(house: House, persona: str) -> SeatedPersona:
    """Let a persona speak with its prompt alone again. Raises PersonaNotFoundError, UsageError where it does already."""
    seated = house.cards.get(persona)
    if seated.card.adapter is None:
        raise UsageError(f"{seated.slug} speaks with its prompt alone already.")
    return house.cards.save(seated.slug, msgspec.structs.replace(seated.card, adapter=None))
