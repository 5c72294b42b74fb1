"""One message of the person, out of the many in a workspace."""

from __future__ import annotations

import msgspec

from innercouncil.model.conversation import Message
from innercouncil.model.errors import NothingToDiscoverError, UsageError
from innercouncil.store.workspace import Workspace


def find_message(workspace: Workspace, id_: str) -> Message:
    """The message. Raises UsageError where there is none of that id, NothingToDiscoverError without an import."""
    wanted = msgspec.json.encode(id_)
    decoder = msgspec.json.Decoder(Message)
    try:
        with workspace.all_messages.open("rb") as file:
            for line in file:
                if wanted in line:
                    message = decoder.decode(line)
                    if message.id == id_:
                        return message
    except OSError:
        raise NothingToDiscoverError("There are no messages in the workspace; import an export first.") from None
    raise UsageError(f"There is no message {id_[:80]!r} in the workspace.")
