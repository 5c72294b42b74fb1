"""Open WebUI's chat export: a list of chats, each with a tree of messages in `chat.history`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from innercouncil.model.conversation import Branch, Conversation, ImportReport, Turn
from innercouncil.readers.fields import as_dict, as_list, as_time, as_word, content_id

NAME: Final = "openwebui"


def recognise(sample: object) -> bool:
    """A chat object that holds `history` or `messages`."""
    chat = as_dict(as_dict(sample).get("chat"))
    return isinstance(as_dict(chat.get("history")).get("messages"), dict) or isinstance(chat.get("messages"), list)


def to_conversation(element: object, report: ImportReport) -> Conversation | None:
    """The thread that ends in `currentId`, the person's other versions of a message before the one that replaced it."""
    data = as_dict(element)
    chat = as_dict(data.get("chat"))
    turns = tuple(_turns(chat, report))
    if not any(t.role == "user" for t in turns):
        report.skip("conversation without a message of yours")
        return None
    title = as_word(data.get("title")) or as_word(chat.get("title")) or ""
    models = as_list(chat.get("models"))
    return Conversation(
        id=as_word(data.get("id")) or as_word(chat.get("id")) or content_id(NAME, title, turns),
        title=title,
        turns=turns,
        time=as_time(data.get("created_at")) or as_time(chat.get("timestamp")),
        model=as_word(models[0]) if models else None,
        archived=data.get("archived") is True,
        instructions=as_word(chat.get("system")) or "",
    )


def _turns(chat: dict[str, Any], report: ImportReport) -> Iterator[Turn]:
    history = as_dict(chat.get("history"))
    nodes = {k: as_dict(v) for k, v in as_dict(history.get("messages")).items()}
    if not nodes:
        for message in as_list(chat.get("messages")):
            turn = _turn(as_dict(message), report, "active")
            if turn:
                yield turn
        return
    path = _path(nodes, history.get("currentId"))
    active = set(path)
    for key in path:
        node = nodes[key]
        if node.get("role") == "user":
            parent = node.get("parentId")
            for other, sibling in nodes.items():
                if other not in active and sibling.get("role") == "user" and sibling.get("parentId") == parent:
                    edited = _turn(sibling, report, "edited")
                    if edited:
                        yield edited
        turn = _turn(node, report, "active")
        if turn:
            yield turn


def _path(nodes: dict[str, dict[str, Any]], current: object) -> list[str]:
    """Ids from the root to the current message; the newest leaf where none is named. Cycles end the walk."""
    at = current if isinstance(current, str) and current in nodes else None
    if at is None:
        parents = {p for n in nodes.values() if isinstance(p := n.get("parentId"), str)}
        leaves = [k for k in nodes if k not in parents] or list(nodes)
        at = max(leaves, key=lambda k: (as_time(nodes[k].get("timestamp")) or 0.0, k))
    path: list[str] = []
    seen: set[str] = set()
    while at is not None and at not in seen:
        seen.add(at)
        path.append(at)
        parent = nodes[at].get("parentId")
        at = parent if isinstance(parent, str) and parent in nodes else None
    return path[::-1]


def _turn(message: dict[str, Any], report: ImportReport, branch: Branch) -> Turn | None:
    role = message.get("role")
    if role not in ("user", "assistant"):
        if role:
            report.skip("system or tool message")
        return None
    content = message.get("content")
    text = content if isinstance(content, str) else "\n".join(
        str(p["text"]) for p in map(as_dict, as_list(content)) if isinstance(p.get("text"), str)
    )  # fmt: skip
    files = [as_dict(f) for f in as_list(message.get("files"))]
    names = tuple(n for f in files if (n := as_word(f.get("name")) or as_word(as_dict(f.get("file")).get("filename"))))
    if not text.strip() and not names:
        return None
    return Turn(
        role=role, text=text, id=as_word(message.get("id")), time=as_time(message.get("timestamp")),
        model=as_word(message.get("model")), attachments=names, branch=branch,
    )  # fmt: skip
