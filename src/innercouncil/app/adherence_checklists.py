"""The checklists of personas: drawn from their prompts, and kept in a file that the person may edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from innercouncil.app.evaluate_twins import Persona
from innercouncil.council.appeals import split_appeals
from innercouncil.evaluation.checklist import draw
from innercouncil.model.adherence import Checklist
from innercouncil.model.errors import UsageError
from innercouncil.store.workspace import Workspace

MOST_ITEMS: Final = 16
QUESTION_CHARS: Final = 600


def checklists(workspace: Workspace, personas: Sequence[Persona]) -> list[Checklist]:
    """The checklists of these personas, as the person left them where their prompts still say what they said.

    What is new or changed is drawn and written to the file; other personas' entries stay. Raises UsageError for a file that
    cannot be read.
    """
    kept = _read(workspace)
    drawn = {p.slug: draw(p.slug, p.system, _orders, kept.get(p.slug)) for p in personas}
    if any(kept.get(slug) != found for slug, found in drawn.items()):
        workspace.write_json(workspace.adherence_checklists, kept | drawn)
    return list(drawn.values())


def _orders(text: str) -> bool:
    return bool(split_appeals(text)[1])


def _read(workspace: Workspace) -> dict[str, Checklist]:
    path = workspace.adherence_checklists
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Checklist])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read ({error}); mend it, or delete it to have it drawn anew.") from None
    for slug, one in found.items():
        if len(one.items) > MOST_ITEMS:
            raise UsageError(f"{path}: {slug!r} has {len(one.items)} items, {MOST_ITEMS} is the most; take some out.")
        for n, item in enumerate(one.items, 1):
            if not item.question.strip() or len(item.question) > QUESTION_CHARS:
                raise UsageError(
                    f"{path}: item {n} of {slug!r} has {len(item.question)} characters, 1 to {QUESTION_CHARS} are asked for; "
                    "to strike an item out take it out of the list."
                )
    return found
