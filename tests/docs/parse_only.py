"""Parse commands by their real parsers and stop there.

A list of argument lists as JSON on stdin; on stdout, for each, why it cannot be parsed (empty where it can).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import click

from innercouncil.cli.main import cli

sys.path.insert(0, "benchmarks")


class ParsedError(Exception):
    """The arguments were understood; nothing more is done."""


def stop_after_parsing() -> None:
    """Let every parser end the program once it has understood its arguments; named files need not be there."""
    understand = argparse.ArgumentParser.parse_args

    def parse(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        understand(self, args, namespace)
        raise ParsedError

    invoke = click.Command.invoke

    def stop(self: click.Command, ctx: click.Context) -> Any:
        if isinstance(self, click.Group):
            return invoke(self, ctx)
        raise ParsedError

    argparse.ArgumentParser.parse_args = parse  # type: ignore[method-assign]
    click.Command.invoke = stop  # type: ignore[method-assign]
    click.Path.convert = lambda _self, value, _param, _ctx: Path(value)  # type: ignore[method-assign,assignment]


def problem_of(arguments: list[str]) -> str:
    """Why a command cannot be parsed."""
    program, *rest = arguments
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            if program == "innercouncil":
                cli.main(rest, standalone_mode=False)
            elif any(name in Path(rest[0]).read_text("utf-8") for name in ("argparse", "click", "cli.")):
                sys.argv = rest
                runpy.run_path(rest[0], run_name="__main__")
            else:
                return ""  # it has no parser; that it is there is all that can be said
    except ParsedError:
        return ""
    except click.ClickException as error:
        return error.format_message()
    except (SystemExit, Exception) as error:
        return f"{said.getvalue()} ({error!r})"
    return "it ran instead of being parsed"


if __name__ == "__main__":
    stop_after_parsing()
    print(json.dumps([problem_of(arguments) for arguments in json.load(sys.stdin)]))
