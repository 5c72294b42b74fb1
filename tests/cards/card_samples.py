"""Small sample files, one of each format, as other programs write them."""

from __future__ import annotations

import base64
import io
import json
import zlib
from typing import Any

import png

SIGNATURE = b"\x89PNG\r\n\x1a\n"

V2: dict[str, Any] = {
    "spec": "chara_card_v2",
    "spec_version": "2.0",
    "data": {
        "name": "Seraphine",
        "description": "{{char}} keeps a lighthouse and answers {{user}} slowly.",
        "personality": "patient, dry",
        "scenario": "A storm is coming.",
        "first_mes": "Come in, {{user}}.",
        "mes_example": "<START>\n{{user}}: What is that light?\n{{char}}: Mine.\nIt turns.\n<START>\n{{user}}: Why?\n{{char}}: Ships.",
        "creator_notes": "A keeper of lights.",
        "system_prompt": "{{original}}You are {{char}}. Stay calm.",
        "post_history_instructions": "Never break character.",
        "alternate_greetings": ["Who is there?", "Shut the door."],
        "character_book": {"entries": [{"keys": ["lamp"], "content": "It is old.", "extensions": {}, "enabled": True}]},
        "tags": ["sea", "calm"],
        "creator": "anna",
        "character_version": "1.2",
        "extensions": {"depth_prompt": {"depth": 4, "prompt": ""}, "talkativeness": "0.5"},
        "a_field_nobody_knows": [1, {"x": None}],
    },
    "create_date": "2024-3-1",
}

V3: dict[str, Any] = {
    "spec": "chara_card_v3",
    "spec_version": "3.0",
    "data": {
        **V2["data"],
        "nickname": "Sera",
        "assets": [
            {"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"},
            {"type": "background", "uri": "https://example.org/sea.webp", "name": "main", "ext": "webp"},
        ],
        "group_only_greetings": ["All aboard."],
        "creation_date": 1700000000,
        "source": ["https://example.org/seraphine"],
    },
}

V1: dict[str, Any] = {
    key: V2["data"][key] for key in ("name", "description", "personality", "scenario", "first_mes", "mes_example")
}

MODELFILE = '''# made by hand
FROM llama3.2:3b
PARAMETER temperature 0.6
PARAMETER num_ctx 8192
PARAMETER stop "<|end|>"
SYSTEM """You are Mario from Super Mario Bros.
Say "wahoo" often."""
TEMPLATE """{{ .System }} {{ .Prompt }}"""
MESSAGE assistant It's-a me!
MESSAGE user Who are you?
MESSAGE assistant """Mario,
the plumber."""
LICENSE MIT
'''

OPEN_WEBUI: list[dict[str, Any]] = [
    {
        "id": "terse",
        "user_id": "u1",
        "base_model_id": "qwen2.5:7b",
        "name": "Terse",
        "params": {"system": "Answer in one sentence.", "temperature": 0.3, "top_p": 0.8, "num_ctx": 4096},
        "meta": {
            "profile_image_url": "data:image/png;base64,AAAA",
            "description": "Few words",
            "capabilities": {"vision": False},
            "tags": [{"name": "short"}],
            "suggestion_prompts": None,
        },
        "access_control": None,
        "is_active": True,
        "updated_at": 1735000000,
        "created_at": 1734000000,
    },
    {"id": "plain", "base_model_id": None, "name": "Plain", "params": {}, "meta": {}, "is_active": True},
    {
        "id": "long",
        "name": "Long",
        "info": {"id": "long", "name": "Long", "params": {"system": "Answer at length."}, "meta": {}},
    },
]

LLM_TEMPLATE = """# innercouncil: {"description": "Counts money"}
name: accountant
model: gpt-4o-mini
system: >-
  You are $role and count in $$.
  Be exact.
defaults:
  role: an accountant
options:
  temperature: 0.2
  max_tokens: 200
functions: |
  def steal():
      open("/etc/passwd")
tools: [llm_time]
made_on: 2024-05-01
"""

SKILL = """---
name: code-review
description: >
  Reviews code. Use when a diff is given.
license: Apache-2.0
compatibility: Requires git
allowed-tools: Bash(git:*) Read
metadata:
  author: example-org
  version: "1.0"
  mood: stern
---

# Reviewing

1. Read the diff.
2. Say what breaks.
"""

MARKDOWN = "# The Sceptic\n\nDoubt every claim.\n\n## Rules\n- Ask for sources.\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def text_chunk(key: str, content: object) -> bytes:
    return chunk(b"tEXt", key.encode() + b"\0" + base64.b64encode(json.dumps(content).encode()))


def picture() -> bytes:
    """A small picture with a chunk of its own."""
    target = io.BytesIO()
    png.Writer(4, 3, greyscale=False).write(target, [[10, 20, 30] * 4] * 3)
    data = target.getvalue()
    return data[:-12] + chunk(b"tEXt", b"Comment\0drawn by hand") + data[-12:]


def card_png(*chunks: bytes) -> bytes:
    data = picture()
    return data[:33] + b"".join(chunks) + data[33:]


def samples() -> dict[str, tuple[bytes, str]]:
    """Format -> the bytes of a sample and a file name."""
    return {
        "card-v2": (json.dumps(V2).encode(), "seraphine.json"),
        "card-v3": (json.dumps(V3).encode(), "seraphine3.json"),
        "card-png": (card_png(text_chunk("chara", V2), text_chunk("ccv3", V3)), "seraphine.png"),
        "modelfile": (MODELFILE.encode(), "Modelfile"),
        "open-webui": (json.dumps(OPEN_WEBUI).encode(), "models-export.json"),
        "llm-template": (LLM_TEMPLATE.encode(), "accountant.yaml"),
        "skill": (SKILL.encode(), "SKILL.md"),
        "markdown": (MARKDOWN.encode(), "sceptic.md"),
    }
