"""Bring the generated prompts into the council; what you edited stays unless you say otherwise.

python scripts/import_personas.py
python scripts/import_personas.py --overwrite software-builder
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from innercouncil.app.personas import diff_prompts, sync_personas
from innercouncil.cli.main import run
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.terminal import clean, print_json
from innercouncil.store.cards import CardStore
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace


@click.command()
@with_options(
    WORKSPACE,
    click.option("--overwrite", multiple=True, metavar="SLUG", help="Give up your edits of this persona; repeatable."),
    click.option("--keep", is_flag=True, help="Keep all your edits without asking."),
    JSON,
)
def import_personas(workspace: Path, overwrite: tuple[str, ...], keep: bool, as_json: bool) -> None:
    """Seat the personas that discovery wrote; ask before a newer prompt replaces one you edited."""
    ws = Workspace(workspace)
    ws.prepare()
    database = Database(ws.database)
    try:
        cards = CardStore(database)
        for slug in overwrite:
            cards.get(slug)
        done = sync_personas(ws, cards, overwrite=frozenset(overwrite))
        if done.kept and not keep and sys.stdin.isatty():
            given_up = frozenset(slug for slug in done.kept if _gives_up(cards, ws, slug))
            if given_up:
                again = sync_personas(ws, cards, overwrite=given_up)
                done = done._replace(updated=(*done.updated, *again.updated), kept=again.kept)
    finally:
        database.close()
    if as_json:
        print_json(done._asdict())
        return
    said = {"seated": done.created, "updated": done.updated, "archived": done.archived}
    for word, slugs in said.items():
        if slugs:
            click.echo(f"{word}: {', '.join(slugs)}")
    if done.kept:
        click.echo(
            f"kept as you edited them, though discovery wrote newer prompts: {', '.join(done.kept)} "
            "(--overwrite SLUG takes the newer one; your version stays in the history)"
        )
    if not any(done):
        click.echo("Nothing to do: the council has the newest prompts.")


def _gives_up(cards: CardStore, workspace: Workspace, slug: str) -> bool:
    """Show what would change and ask."""
    from innercouncil.app.personas import newest_prompt

    newest = newest_prompt(workspace, cards, slug)
    for line in diff_prompts(cards.get(slug).card.system, newest):
        if line.kind != "same":
            click.secho(
                f"{'+' if line.kind == 'added' else '-'} {clean(line.text)}",
                fg="green" if line.kind == "added" else "red",
            )
    return click.confirm(f"{slug}: you edited it. Take the newly generated prompt instead?", default=False)


if __name__ == "__main__":
    sys.exit(run(import_personas))
