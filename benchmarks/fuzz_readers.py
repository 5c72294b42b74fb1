"""Feed damaged exports of every format to the readers; anything but a clean read or ImportFormatError is a failure.

    uv run python benchmarks/fuzz_readers.py [--seconds 60] [--seed 0] [--keep FOLDER]

A case is a small valid export with flipped bytes, a cut, spliced pieces, swapped types in its JSON tree, or deep
nesting, as a bare file or in a ZIP. A case also fails when it takes over 5 seconds, when a reader's exception had to be
caught for it, or when a message breaks its own rules (unique ids, clean text, spans that cover the text).
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import sqlite3
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from innercouncil.model.conversation import ImportReport
from innercouncil.model.errors import ImportFormatError
from innercouncil.readers.registry import BROKEN, read_messages

SLOW_SECONDS = 5.0
ODD_TEXT = ["", "\0", "\ud800", '}, {"title"', "\\", "é😀", "x" * 3000, "```\ncode", "client-created-root", "n1"]
ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    10**30,
    1e308,
    float("nan"),
    float("-inf"),
    [],
    {},
    [[]],
    [None],
    {"": {}},
    {"text": 3},
]


def chatgpt() -> list[Any]:
    def node(key: str, parent: str | None, role: str, text: str, **more: Any) -> tuple[str, dict[str, Any]]:
        body = {
            "id": key,
            "author": {"role": role},
            "create_time": 1.7e9,
            "content": {"content_type": "text", "parts": [text]},
        }
        body |= {
            "metadata": {"model_slug": "gpt-4o", "attachments": [{"id": "f", "name": "a.png"}]},
            "weight": 1.0,
            "recipient": "all",
        }
        return key, {"id": key, "message": body | more, "parent": parent, "children": []}

    speech = {
        "content_type": "multimodal_text",
        "parts": [{"content_type": "audio_transcription", "text": "hi"}, {"asset_pointer": "a://b"}],
    }
    about = {"content_type": "user_editable_context", "user_profile": "Sam", "user_instructions": "Be brief"}
    result = []
    for n in range(3):
        nodes = [
            ("root", {"id": "root", "message": None, "parent": None, "children": ["c"]}),
            node("c", "root", "user", "", content=about),
            node("n1", "c", "user", "How do I sort a list in Python?"),
            node("n1b", "c", "user", "How do I sort a list?"),
            node(
                "t",
                "n1b",
                "assistant",
                "",
                content={"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "c"}]},
            ),
            node("n2", "t", "assistant", "Use sorted()."),
            node("n3", "n2", "user", "", content=speech),
        ]
        tree = dict(nodes)
        fields = {"title": f"Chat {n}", "create_time": 1.7e9, "mapping": tree, "current_node": "n3", "gizmo_id": None}
        result.append(fields | {"conversation_id": f"c{n}", "is_archived": False, "default_model_slug": "gpt-4o"})
    return result


def claude() -> list[Any]:
    paste = {"file_name": "paste.txt", "file_type": "txt", "file_size": 9, "extracted_content": "pasted text"}
    messages = [
        {
            "uuid": "m1",
            "sender": "human",
            "text": "Hello",
            "content": [{"type": "text", "text": "Hello"}],
            "attachments": [paste],
        },
        {
            "uuid": "m2",
            "sender": "assistant",
            "text": "Hi",
            "content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "Hi"}],
        },
        None,
    ]
    times = {"created_at": "2024-05-01T10:00:00.000000Z", "updated_at": "2024-05-01T10:00:00.000000Z"}
    full = [m and {"attachments": [], "files": [{"file_name": "a.png"}]} | m | times for m in messages]
    return [
        {"uuid": f"u{n}", "name": "A chat", "account": {"uuid": "a"}, "chat_messages": full} | times for n in range(3)
    ]


def openwebui() -> list[Any]:
    tree = {
        "a": {
            "id": "a",
            "parentId": None,
            "childrenIds": ["b"],
            "role": "user",
            "content": "Hello",
            "timestamp": 1700000000,
        },
        "b": {
            "id": "b",
            "parentId": "a",
            "childrenIds": [],
            "role": "assistant",
            "content": "Hi",
            "model": "llama",
            "timestamp": 1700000001,
        },
    }
    chat = {
        "title": "T",
        "models": ["llama"],
        "history": {"messages": tree, "currentId": "b"},
        "messages": list(tree.values()),
    }
    return [
        {"id": f"o{n}", "user_id": "u", "title": "T", "chat": chat, "created_at": 1700000000, "archived": False}
        for n in range(3)
    ]


def lmstudio() -> Any:
    def version(role: str, text: str) -> dict[str, Any]:
        return {
            "versions": [{"type": "singleStep", "role": role, "content": [{"type": "text", "text": text}]}],
            "currentlySelected": 0,
        }

    answer = {
        "type": "multiStep",
        "role": "assistant",
        "steps": [{"type": "contentBlock", "content": [{"type": "text", "text": "Hi"}]}],
    }
    messages = [version("user", "Hello"), {"versions": [answer], "currentlySelected": 0}]
    return {"name": "T", "pinned": False, "createdAt": 1700000000000, "systemPrompt": "", "messages": messages}


def gemini() -> list[Any]:
    entry = {
        "header": "Gemini Apps",
        "title": "Prompted Hello there",
        "time": "2024-05-01T10:00:00.000Z",
        "products": ["Gemini Apps"],
    }
    return [
        entry | {"safeHtmlItem": [{"html": "<p>Hi</p>"}], "activityControls": ["Gemini Apps Activity"]}
        for _ in range(3)
    ]


def jsonl() -> bytes:
    rows = [
        {"conversation": f"c{i}", "role": role, "text": text, "time": 1.7e9 + i, "attachments": ["a.pdf"]}
        for i in range(3)
        for role, text in (("user", "Hello"), ("assistant", "Hi"))
    ]
    return "\n".join(map(json.dumps, rows)).encode()


def llm_log(folder: Path) -> bytes:
    path = folder / "seed.db"
    base = sqlite3.connect(path)
    base.executescript(
        """CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
        CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT,
        options_json TEXT, response TEXT, response_json TEXT,
        conversation_id TEXT, duration_ms INTEGER, datetime_utc TEXT);
        INSERT INTO conversations VALUES ('c', 'T', 'gpt-4o');
        INSERT INTO responses VALUES ('r','gpt-4o','Hello','','','{}','Hi','{}','c',3,'2024-05-01T10:00:00');"""
    )
    base.close()
    data = path.read_bytes()
    path.unlink()
    return data


def flip(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 30])):
        at = rng.randrange(len(out))
        out[at] = rng.choice([rng.randrange(256), out[at] ^ (1 << rng.randrange(8)), rng.choice(b'"\\{}[],:\0')])
    return bytes(out)


def cut(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] if rng.random() < 0.7 else data[:at] + data[min(len(data), at + rng.randrange(1, 400)) :]


def splice(rng: random.Random, data: bytes) -> bytes:
    a, b, c = sorted(rng.randrange(len(data)) for _ in range(3))
    doubled, swapped = data[:b] + data[a:c] + data[b:], data[:a] + data[b:c] + data[a:b] + data[c:]
    return rng.choice([doubled, swapped, data + data[a:], data[a:]])


def deepen(rng: random.Random, data: bytes) -> bytes:
    at, depth = rng.randrange(len(data)), rng.choice([50, 900, 1100, 20_000])
    left, right = rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"mapping":', b"}]")])
    return data[:at] + left * depth + b"1" + right * rng.choice([depth, depth, 0, depth + 3]) + data[at:]


def swap(rng: random.Random, tree: Any) -> Any:
    """Replace, delete, rename or move values anywhere in the tree."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice([1, 2, 5, 20])):
        at, grown = tree, tree
        while isinstance(at, dict | list) and at:
            key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
            inner = at[key]
            if isinstance(inner, dict | list) and inner and rng.random() < 0.85:
                at = inner
                continue
            change = rng.random()
            if change < 0.6:
                at[key] = copy.deepcopy(rng.choice([*ODD_VALUES, *ODD_TEXT]))  # shared ones would tie knots
            elif change < 0.75:
                del at[key]
            elif change < 0.9:
                at[key] = json.loads(json.dumps(grown)) if len(json.dumps(grown)) < 20_000 else []
            elif isinstance(at, dict):
                at[rng.choice(ODD_TEXT)] = at.pop(key)
            break
    return tree


def mutate(rng: random.Random, seed: Any) -> bytes:
    if not isinstance(seed, bytes):
        tree = swap(rng, seed) if rng.random() < 0.6 else seed
        text = json.dumps(tree, indent=rng.choice([None, None, 2]), ensure_ascii=rng.random() < 0.7)
        encoding = rng.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"])
        seed = text.encode(encoding, "surrogatepass")
        if rng.random() < 0.3:
            return seed
    kinds: list[Callable[[random.Random, bytes], bytes]] = [flip, flip, cut, splice, deepen]
    for _ in range(rng.choice([1, 1, 2])):
        seed = rng.choice(kinds)(rng, seed) or b"["
    return seed


def place(rng: random.Random, data: bytes, folder: Path) -> Path:
    if rng.random() < 0.85:
        path = folder / rng.choice(["conversations.json", "x.db", "x.jsonl", "MyActivity.json"])
        path.write_bytes(data)
        return path
    path = folder / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", data)
        archive.writestr("users.json", "[]")
    if rng.random() < 0.5:
        path.write_bytes(flip(rng, path.read_bytes()))
    return path


def check(path: Path) -> str:
    """Read a case; returns how it ended, raises AssertionError or anything else where it ended badly."""
    report = ImportReport(format="", source_name=path.name)
    start, ids = time.perf_counter(), set()
    try:
        for message in read_messages(path, report):
            assert message.id not in ids, "an id appears twice"
            ids.add(message.id)
            whole = (
                message.text + message.title + message.context + message.reply + message.id + message.conversation_id
            )
            assert "\0" not in whole, "NUL in a text"
            whole.encode()
            assert not message.spans or "".join(message.text[s.start : s.end] for s in message.spans) == message.text, (
                "spans"
            )
        outcome = report.format
    except ImportFormatError as error:
        assert 20 < len(str(error)) < 600 and "\n" not in str(error), f"not one sentence: {error}"
        outcome = "refused"
    assert BROKEN not in report.skipped, "a reader's exception had to be caught"
    assert time.perf_counter() - start < SLOW_SECONDS, "slow"
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files of failing cases")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    outcomes: Counter[tuple[str, str]] = Counter()
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = {
            "chatgpt": chatgpt(),
            "claude": claude(),
            "openwebui": openwebui(),
            "lmstudio": lmstudio(),
            "gemini": gemini(),
        }
        seeds |= {"jsonl": jsonl(), "llm": llm_log(folder), "one chatgpt": chatgpt()[0]}
        for kind, seed in seeds.items():
            path = folder / "sound.json"
            path.write_bytes(seed if isinstance(seed, bytes) else json.dumps(seed).encode())
            print(f"sound {kind}: read as {check(path)}")
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            kind = rng.choice(list(seeds))
            path = place(rng, mutate(rng, seeds[kind]), folder)
            try:
                outcomes[kind, check(path)] += 1
            except Exception:
                failures += 1
                print(
                    f"--- failure {failures} ({kind}, {path.name})", *traceback.format_exc().splitlines()[-9:], sep="\n"
                )
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    (args.keep / f"{failures}-{path.name}").write_bytes(path.read_bytes())
                if failures >= 20:
                    break
            path.unlink()
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:12} {outcome:24} {count:7,}")
    print(f"{sum(outcomes.values()):,} cases, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
