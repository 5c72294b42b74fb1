"""The `innercouncil` command: one verb a job; data on stdout, talk on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from innercouncil import __version__
from innercouncil.cli import discover, personas
from innercouncil.model.errors import InnerCouncilError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="innercouncil")
def cli() -> None:
    """Discover the distinct ways you think in your AI chats, and seat them as personas.

    \b
    Example:
      innercouncil discover conversations.json
      innercouncil personas list
    """


cli.add_command(discover.discover)
cli.add_command(personas.personas)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and leave with 0, 1 (failure), 2 (usage) or 130 (interrupted)."""
    sys.exit(run(cli, argv))


def run(command: click.Command, argv: Sequence[str] | None = None) -> int:
    """Run a command; errors meant for people become one sentence on stderr, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        command.main(args=None if argv is None else list(argv), standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped. What was finished is kept: run the same command to go on.", err=True)
        return 130
    except InnerCouncilError as error:
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        return 0
    except MemoryError:
        click.echo("Error: There is not enough memory for this; try --mode 8GB, or close other programs.", err=True)
        return 1
    return 0
