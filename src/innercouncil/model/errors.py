"""The error tree: every message says what was wrong, where, and what to do."""

from __future__ import annotations

import errno
from typing import Final

NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""What the system says where a disk takes no more."""


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


class DiskFullError(WorkspaceError):
    """The disk takes no more: it is full, or a quota or a limit on the size of files is reached."""


class DamagedError(WorkspaceError):
    """A file of the workspace holds what it cannot hold."""


class PersonaNotFoundError(InnerCouncilError):
    """No persona of that name is in the workspace."""


class CardError(InnerCouncilError):
    """A persona card cannot be read."""


class SessionNotFoundError(InnerCouncilError):
    """No council session of that id is in the workspace."""


class AbTestNotFoundError(InnerCouncilError):
    """No A/B test of that name is in the workspace."""


class DeclinedError(InnerCouncilError):
    """The person was asked and said no."""


class BackendError(InnerCouncilError):
    """A model backend could not answer. `retryable`: the same request may succeed a moment later."""

    retryable = False


class BackendUnreachableError(BackendError):
    """Nothing listens there, or the connection broke before an answer."""

    retryable = True


class BackendBusyError(BackendError):
    """The backend has too much to do (HTTP 429, 503)."""

    retryable = True


class BackendStalledError(BackendError):
    """The backend stopped sending in the middle of an answer, or never began."""


class BackendGarbageError(BackendError):
    """What came back is not the documented format, or broke off in the middle."""


class BackendRejectedError(BackendError):
    """The backend refused the request itself (bad key, unknown option); `too_long`: it does not fit its context."""

    too_long = False


class ModelMissingError(BackendError):
    """The backend runs but does not have the model."""


class TrainingError(InnerCouncilError):
    """A training could not go on. `reason`: memory, data, base, package, stopped or other."""

    def __init__(self, text: str, reason: str = "other") -> None:
        super().__init__(text)
        self.reason = reason
