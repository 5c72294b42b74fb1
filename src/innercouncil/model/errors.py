"""The error tree: every message says what was wrong, where, and what to do."""

from __future__ import annotations


class InnerCouncilError(Exception):
    """Base class of all errors shown to a person as one sentence (exit code 1)."""

    exit_code = 1


class UsageError(InnerCouncilError):
    """The command was called wrongly (exit code 2)."""

    exit_code = 2


class ImportFormatError(InnerCouncilError):
    """The file is not an export we know, or is damaged beyond use."""


class NothingToDiscoverError(InnerCouncilError):
    """The export holds too little text of the person to look for modes."""


class WorkspaceError(InnerCouncilError):
    """The workspace cannot be read or written, or another process holds it."""


class PersonaNotFoundError(InnerCouncilError):
    """No persona of that name is in the workspace."""
