"""The `innercouncil` command: one verb a job; data on stdout, talk on stderr."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from innercouncil import __version__
from innercouncil.model.errors import InnerCouncilError

_COMMANDS = {
    "demo": "Show the whole way on a bundled example.",
    "discover": "Find the modes you think in, in EXPORT, and write a persona for each.",
    "personas": "List, show, edit, rename, merge, split or drop personas.",
    "evaluate": "Measure the modes, the prompts, adherence to them, and which personas are twins.",
    "serve": "Start the web app on this machine.",
    "ask": "Ask the council.",
    "worth": "Was the council worth it? Its answers against the model alone, judged blindly.",
    "run-questions": "Put a set of questions to the council, unattended.",
    "sessions": "Search, show, resume, export, import or delete sessions.",
    "ab": "Test two variants against each other, blind.",
    "standings": "Whose answers win, in your eyes and the models', with intervals.",
    "tune": "Train a small adapter for a persona.",
    "models": "Which models the council uses; fetch them.",
    "backup": "Copy what you made, list the copies, go back to one.",
    "doctor": "What is there, what fits this machine, and what to do.",
}
"""Command (and module) -> its line in the help; a module is imported when its command is called."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"innercouncil.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="innercouncil")
def cli() -> None:
    """Discover the distinct ways you think in your AI chats, and seat them as personas.

    \b
    Example:
      innercouncil discover conversations.json
      innercouncil ask "Should I rewrite it or mend it?"
      innercouncil serve
    """


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
        from innercouncil.cli.terminal import clean

        click.echo(f"Error: {clean(str(error))}", err=True)
        return error.exit_code
    except BrokenPipeError:
        return 0
    except MemoryError:
        click.echo("Error: There is not enough memory for this; try --mode 8GB, or close other programs.", err=True)
        return 1
    return 0
