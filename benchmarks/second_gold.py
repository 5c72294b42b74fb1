"""Build a second labelled export out of public questions that carry human categories.

    uv run python benchmarks/second_gold.py QUESTIONS.jsonl OUT.json
    uv run python benchmarks/gold.py OUT.json OUT.json.labels.json

QUESTIONS.jsonl has one object a line, either `{"prompt", "label"}` or, as `fastchat/llm_judge/data/mt_bench/question.jsonl` of
lm-sys/FastChat (Apache-2.0) has it, `{"category", "turns"}`. The questions are not part of this repository: their texts are
other people's. MT-bench's categories become modes by the fixed table below. Questions of one label stand three to a
conversation, as in the first gold set; turns stay together. There are no answers, so every message stands by itself: the
hard case.
"""

from __future__ import annotations

import json
import random
import sys
import uuid
from pathlib import Path

MODES = {
    "writing": "writing", "math": "solving", "reasoning": "solving", "coding": "coding", "stem": "explaining",
    "humanities": "explaining", "extraction": "extraction",
}  # fmt: skip
NAMESPACE = uuid.UUID("d3f8c1c2-3d0b-4b57-9f6b-1f2f5f6f2a90")


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: second_gold.py QUESTIONS.jsonl OUT.json", file=sys.stderr)
        return 2
    source, out = map(Path, sys.argv[1:])
    rows = [json.loads(line) for line in source.read_text("utf-8").split("\n") if line.strip()]
    chats: list[tuple[str, list[str]]] = []
    single: dict[str, list[str]] = {}
    for row in rows:
        if "turns" in row:
            if row["category"] in MODES:
                chats.append((MODES[row["category"]], row["turns"]))
        else:
            single.setdefault(row["label"], []).append(row["prompt"])
    for label, prompts in single.items():
        chats += [(label, prompts[i : i + 3]) for i in range(0, len(prompts), 3)]
    random.Random(0).shuffle(chats)
    conversations, labels = [], {}
    for n, (label, turns) in enumerate(chats):
        mapping, parent = {}, None
        for i, text in enumerate(turns):
            key = str(uuid.uuid5(NAMESPACE, f"{n}/{i}"))
            labels[key] = label
            message = {
                "id": key, "author": {"role": "user"}, "create_time": 1.7e9 + 3600 * n + 60 * i,
                "content": {"content_type": "text", "parts": [text]},
            }  # fmt: skip
            mapping[key] = {"id": key, "message": message, "parent": parent, "children": []}
            if parent:
                mapping[parent]["children"].append(key)
            parent = key
        conversations.append({"title": "New chat", "id": f"second-{n}", "mapping": mapping, "current_node": parent})
    out.write_text(json.dumps(conversations), encoding="utf-8")
    Path(f"{out}.labels.json").write_text(json.dumps(labels), encoding="utf-8")
    print(f"{len(conversations)} conversations, {len(labels)} messages, {len(set(labels.values()))} modes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
