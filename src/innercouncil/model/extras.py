"""What the default install leaves out, and how a person gets it."""

from __future__ import annotations


def to_install(extra: str, *, again: bool = False) -> str:
    """The end of a sentence: what to type for an extra of pyproject.toml, `again` where it is there but broken.

    The project is installed from its folder.
    """
    tool = "uv tool install --reinstall" if again else "uv tool install"
    return (
        f'type in the project\'s folder: python -m {tool} ".[{extra}]", or put `uv run --extra {extra}` in front of your '
        "command there"
    )
