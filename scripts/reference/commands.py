"""The page of commands: the help of every one."""

from __future__ import annotations

from collections.abc import Iterator

import click

from innercouncil.cli.main import cli

HEAD = """# Commands

What `--help` says of every command. Exit codes: 0 done, 1 it failed, 2 it was called wrongly, 130 stopped with Ctrl-C
(what was finished is kept). Data goes to stdout, talk to stderr.
"""


def walk(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """The contexts of a command and all below it, in the order of the help."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from walk(below, click.Context(below, info_name=name, parent=context, terminal_width=100))


def every_command() -> list[click.Context]:
    """A context of every command, groups included."""
    return list(walk(cli, click.Context(cli, info_name="innercouncil", terminal_width=100)))


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for context in every_command():
        level = "##" if context.command_path.count(" ") < 2 else "###"
        parts.append(f"{level} {context.command_path}\n\n```text\n{context.command.get_help(context)}\n```\n")
    return "\n".join(parts)
