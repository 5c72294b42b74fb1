"""Build a second labelled export out of MT-bench's questions, which carry human categories.

    uv run python benchmarks/second_gold.py QUESTIONS.jsonl OUT.json
    uv run python benchmarks/gold.py OUT.json OUT.json.labels.json

QUESTIONS.jsonl is `fastchat/llm_judge/data/mt_bench/question.jsonl` of lm-sys/FastChat (Apache-2.0; one object a line with
`category` and two `turns`); it is not part of this repository. Categories become modes by this fixed table, whole
categories only; `roleplay` is left out because it mixes tasks on purpose. There are no answers in the file, so every
message stands without any: the hard case.
"""

from __future__ import annotations

import json
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
    conversations, labels = [], {}
    rows = [json.loads(line) for line in source.read_text("utf-8").split("\n") if line.strip()]
    for n, row in enumerate(rows):
        mode = MODES.get(row["category"])
        if mode is None:
            continue
        mapping, parent = {}, None
        for i, text in enumerate(row["turns"]):
            key = str(uuid.uuid5(NAMESPACE, f"{n}/{i}"))
            labels[key] = mode
            message = {
                "id": key, "author": {"role": "user"}, "create_time": 1.7e9 + 3600 * n + 60 * i,
                "content": {"content_type": "text", "parts": [text]},
            }  # fmt: skip
            mapping[key] = {"id": key, "message": message, "parent": parent, "children": []}
            if parent:
                mapping[parent]["children"].append(key)
            parent = key
        conversations.append({"title": "New chat", "id": f"mt-{n}", "mapping": mapping, "current_node": parent})
    out.write_text(json.dumps(conversations), encoding="utf-8")
    Path(f"{out}.labels.json").write_text(json.dumps(labels), encoding="utf-8")
    print(f"{len(conversations)} conversations, {len(labels)} messages, {len(set(labels.values()))} modes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
