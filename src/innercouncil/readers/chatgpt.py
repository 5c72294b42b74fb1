"""ChatGPT exports of every vintage: a tree of messages per conversation.

The visible thread is the walk from `current_node` up to the root. What the person wrote first and then edited stands
beside it in the tree and is kept as an edited branch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from innercouncil.model.conversation import Branch, Conversation, ImportReport, Role, Turn
from innercouncil.readers.fields import as_dict, as_time, as_word, content_id

NAME: Final = "chatgpt"

FORGOTTEN: Final = "marked do-not-remember"
ABANDONED: Final = "message on an abandoned branch"
STEP: Final = "tool call, tool output or reasoning step"
UNKNOWN: Final = "message of an unknown kind"
EMPTY: Final = "conversation without visible messages"

_STEP_TYPES: Final = frozenset(
    {
        "code",
        "computer_output",
        "execution_output",
        "model_editable_context",
        "reasoning_recap",
        "sonic_webpage",
        "system_error",
        "tether_browsing_code",
        "tether_browsing_display",
        "tether_quote",
        "thoughts",
    }
)
_UNSEEN_CHANNELS: Final = frozenset({"commentary", "analysis"})


def recognise(sample: object) -> bool:
    """Whether the element is a ChatGPT conversation: an object with a `mapping` of nodes."""
    return isinstance(sample, dict) and isinstance(sample.get("mapping"), dict)


def to_conversation(element: object, report: ImportReport) -> Conversation | None:
    """The conversation in one element; None, and counted in `report`, where it holds nothing visible."""
    if not isinstance(element, dict):
        report.skip("entry that is not a conversation")
        return None
    if element.get("is_do_not_remember") is True:
        report.skip(f"conversation {FORGOTTEN}")
        return None
    if not isinstance(element.get("mapping"), dict):
        report.skip("conversation without a message tree")
        return None
    tree = _Tree(element["mapping"])
    path = tree.path_to(element.get("current_node"))
    if not any(_role(tree.messages[node]) in ("user", "assistant") for node in path):
        path = tree.path_to(None)
    instructions: list[str] = []
    turns = tuple(_turns(tree, path, instructions, report))
    if not turns:
        report.skip(EMPTY)
        return None
    title = element.get("title")
    model = as_word(element.get("default_model_slug"))
    return Conversation(
        id=as_word(element.get("conversation_id")) or as_word(element.get("id")) or content_id(NAME, title, turns),
        title=title if isinstance(title, str) else "",
        turns=turns,
        time=as_time(element.get("create_time")),
        model=None if model == "auto" else model,
        assistant_id=as_word(element.get("gizmo_id")) or as_word(element.get("conversation_template_id")),
        archived=element.get("is_archived") is True,
        instructions="\n\n".join(instructions),
    )


class _Tree:
    """The nodes of a mapping with links that can be trusted: each node has at most one parent, and it exists."""

    def __init__(self, mapping: dict[str, Any]) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.parents: dict[str, str | None] = {}
        self.children: dict[str, list[str]] = {}
        orphans: set[str] = set()
        for key, node in mapping.items():
            if not isinstance(node, dict):
                continue
            message, parent = node.get("message"), node.get("parent")
            self.messages[key] = message if isinstance(message, dict) else {}
            self.parents[key] = parent if isinstance(parent, str) and isinstance(mapping.get(parent), dict) else None
            if self.parents[key] is None:
                orphans.add(key)
        if len(orphans) > 1:
            self._adopt(mapping, orphans)
        for key, known in self.parents.items():
            if known is not None:
                self.children.setdefault(known, []).append(key)

    def _adopt(self, mapping: dict[str, Any], orphans: set[str]) -> None:
        """A node without a known parent belongs under the node that lists it as a child."""
        for key in self.messages:
            listed = mapping[key].get("children")
            for child in listed if isinstance(listed, list) else ():
                if isinstance(child, str) and child in orphans and child != key:
                    self.parents[child] = key
                    orphans.discard(child)

    def path_to(self, current: object) -> list[str]:
        """Nodes from the root to `current`, or to the newest leaf where there is no such node."""
        node = current if isinstance(current, str) and current in self.messages else self._newest_leaf()
        path: dict[str, None] = {}
        while node is not None and node not in path:
            path[node] = None
            node = self.parents[node]
        return list(reversed(path))

    def _newest_leaf(self) -> str | None:
        """The leaf below the newest message; the last one in the file where no message has a time."""
        newest, best = None, -math.inf
        for key, message in self.messages.items():
            time = as_time(message.get("create_time"))
            if (-math.inf if time is None else time) >= best:
                newest, best = key, -math.inf if time is None else time
        seen: set[str] = set()
        while newest is not None and newest not in seen and newest in self.children:
            seen.add(newest)
            newest = self.children[newest][-1]
        return newest

    def first_visible(self, node: str, taken: set[str]) -> str | None:
        """`node`, or the first node below it that a person sees; hidden ones in a row are passed, forks are not."""
        at: str | None = node
        seen: set[str] = set()
        while at is not None and at not in seen and at not in taken and not _is_visible(self.messages[at]):
            seen.add(at)
            below = self.children.get(at, [])
            at = below[0] if len(below) == 1 else None
        return None if at is None or at in taken or at in seen else at


def _turns(tree: _Tree, path: list[str], instructions: list[str], report: ImportReport) -> Iterator[Turn]:
    taken = set(path)
    waiting: list[str] = []
    edits = 0
    for node in path:
        message = tree.messages[node]
        if _is_instruction(message):
            text = _instructions(message)
            if text and text not in instructions:
                instructions.append(text)
        elif _is_visible(message):
            turn = _turn(message, report)
            if _role(message) == "user":
                edits += len(waiting)
                yield from filter(None, (_turn(tree.messages[key], report, branch="edited") for key in waiting))
            if turn is not None:
                yield turn
            waiting = []
        elif message:
            _count_unseen(message, report)
        for child in tree.children.get(node, ()):
            if (
                child not in taken
                and (seen := tree.first_visible(child, taken))
                and _role(tree.messages[seen]) == "user"
            ):
                waiting.append(seen)
    users = sum(_role(m) == "user" and _is_visible(m) for k, m in tree.messages.items() if k not in taken)
    if users > edits:
        report.skip(ABANDONED, users - edits)


def _turn(message: dict[str, Any], report: ImportReport, *, branch: Branch = "active") -> Turn | None:
    """The turn of a visible message; None where it holds neither text nor attachments."""
    role: Role = "user" if _role(message) == "user" else "assistant"
    metadata = as_dict(message.get("metadata"))
    content = message.get("content")
    if metadata.get("is_do_not_remember") is True or message.get("is_do_not_remember") is True:
        report.skip(f"message {FORGOTTEN}")
        return None
    text = _text(content)
    if text is None:
        report.skip(UNKNOWN)
        return None
    attachments = _attachments(content, metadata) if role == "user" else ()
    if not attachments and (not text or text.isspace()):  # strip() would copy it
        return None
    return Turn(
        role=role,
        text=text,
        id=as_word(message.get("id")),
        time=as_time(message.get("create_time")),
        model=as_word(metadata.get("model_slug")) if role == "assistant" else None,
        attachments=attachments,
        branch=branch,
    )


def _is_visible(message: dict[str, Any]) -> bool:
    """Whether the message stood on the screen as something the person or the assistant said."""
    role = _role(message)
    if role not in ("user", "assistant") or _is_instruction(message) or _is_hidden(message):
        return False
    if message.get("recipient", "all") not in ("all", None, "") or _is_zero(message.get("weight")):
        return False
    if role == "user":
        return True
    channel = message.get("channel")
    return _kind(message) not in _STEP_TYPES and not (isinstance(channel, str) and channel in _UNSEEN_CHANNELS)


def _count_unseen(message: dict[str, Any], report: ImportReport) -> None:
    role = _role(message)
    if role == "tool" or (role == "assistant" and not _is_hidden(message)):
        report.skip(STEP)
    elif role == "user":
        report.skip("hidden message")


def _is_hidden(message: dict[str, Any]) -> bool:
    return as_dict(message.get("metadata")).get("is_visually_hidden_from_conversation") is True


def _is_zero(weight: object) -> bool:
    return isinstance(weight, int | float) and weight == 0


def _role(message: dict[str, Any]) -> str | None:
    return as_word(as_dict(message.get("author")).get("role"))


def _kind(message: dict[str, Any]) -> str:
    return as_word(as_dict(message.get("content")).get("content_type")) or "text"


def _is_instruction(message: dict[str, Any]) -> bool:
    return _kind(message) == "user_editable_context"


def _instructions(message: dict[str, Any]) -> str:
    """The person's custom instructions; the raw words where the export keeps them beside the wrapped ones."""
    metadata, content = as_dict(message.get("metadata")), as_dict(message.get("content"))
    if metadata.get("is_do_not_remember") is True:
        return ""
    raw = as_dict(metadata.get("user_context_message_data"))
    words = [raw.get("about_user_message"), raw.get("about_model_message")]
    if not any(isinstance(w, str) and w.strip() for w in words):
        words = [content.get("user_profile"), content.get("user_instructions")]
    return "\n".join(w.strip() for w in words if isinstance(w, str) and w.strip())


def _text(content: object) -> str | None:
    """The words of a message body of any kind; None where the kind is unknown and holds nothing like text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, dict):
        return "" if content is None else None
    parts = content.get("parts")
    if isinstance(parts, list):
        return "\n".join(words for part in parts if (words := _part_text(part)))
    for field in ("text", "content", "result", "parts"):
        if isinstance(content.get(field), str):
            return str(content[field])
    return "" if any(field in content for field in ("text", "content", "result", "parts")) else None


def _part_text(part: object) -> str:
    if isinstance(part, str):
        return part
    # Transcriptions of speech are dicts with `text`; pictures and sound have none.
    words = part.get("text") if isinstance(part, dict) else None
    return words if isinstance(words, str) else ""


def _attachments(content: object, metadata: dict[str, Any]) -> tuple[str, ...]:
    """Names of files and pictures, each once; a pointer stands for itself where no name is known."""
    listed = metadata.get("attachments")
    names: dict[str, None] = {}
    ids: set[str] = set()
    for item in listed if isinstance(listed, list) else ():
        file = as_dict(item)
        key = as_word(file.get("id"))
        name = as_word(file.get("name")) or key
        ids |= {key} if key else set()
        if name:
            names[name] = None
    parts = as_dict(content).get("parts")
    for part in parts if isinstance(parts, list) else ():
        pointer = as_word(as_dict(part).get("asset_pointer"))
        key = pointer.rpartition("://")[2] if pointer else None
        if key and key not in ids:
            names[key] = None
    return tuple(names)
