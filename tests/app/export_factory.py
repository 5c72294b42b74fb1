"""A ChatGPT export of one invented person with three ways of working: python, stories, maths. Same bytes every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

PARTS: Final = ("parser", "scheduler", "cache", "importer", "web scraper", "config loader", "test suite")
ERRORS: Final = (
    "KeyError: 'id'", "TypeError: 'NoneType' object is not iterable", "IndexError: list index out of range",
    "ModuleNotFoundError: No module named 'yaml'", "ValueError: invalid literal for int()",
)  # fmt: skip
HEROES: Final = (
    "a lighthouse keeper",
    "a young dragon",
    "a lost astronaut",
    "an old clockmaker",
    "a thief of memories",
)
PLACES: Final = ("on a frozen island", "in a city of glass", "under the sea", "at the edge of a forest")
NUMBERS: Final = ((3, 5), (7, 11), (4, 9), (6, 13), (8, 15), (2, 17))
PYTHON_ANSWER: Final = (
    "Here is a fix:\n\n```python\ndef load(path):\n    return path.read_text()\n```\nRun the tests again."
)
STORY_ANSWER: Final = (
    "The night was quiet. She lifted the lantern and whispered a name that nobody had spoken for years."
)
MATHS_ANSWER: Final = (
    "We use modular arithmetic. Let n be an integer; then n^2 mod 4 is 0 or 1, so the equation has no solution."
)


def python_chat(n: int) -> list[tuple[str, str]]:
    part, error = PARTS[n % len(PARTS)], ERRORS[n % len(ERRORS)]
    return [
        (f"My python {part} stops with this error, why does it fail?\n\n```\nTraceback (most recent call last):\n"
         f'  File "app.py", line {10 + n}, in <module>\n{error}\n```', PYTHON_ANSWER),
        (f"That did not work, the {part} still raises {error.split(':')[0]}. Please fix the function without adding a "
         "new dependency, and make sure it runs on python 3.11.", PYTHON_ANSWER),
        (f"Write a pytest for the {part} function that checks the empty list, only the standard library.", PYTHON_ANSWER),
    ][: 2 + n % 2]  # fmt: skip


def story_chat(n: int) -> list[tuple[str, str]]:
    hero, place = HEROES[n % len(HEROES)], PLACES[n % len(PLACES)]
    return [
        (f"Write a short story about {hero} {place}. I love quiet endings, with a warm narrator and vivid imagery!",
         STORY_ANSWER),
        (f"Beautiful! Now write the next chapter, where {hero} meets an enemy and the dialogue carries the scene.",
         STORY_ANSWER),
        ("Wonderful, thank you. Tell the same scene as a poem with four stanzas that rhyme!", STORY_ANSWER),
    ][: 2 + n % 2]  # fmt: skip


def maths_chat(n: int) -> list[tuple[str, str]]:
    a, b = NUMBERS[n % len(NUMBERS)]
    return [
        (f"Let x and y be positive integers with {a}x + {b}y = {a * b + n}. How many solutions does the equation have?",
         MATHS_ANSWER),
        (f"Prove that {a}^k - 1 is divisible by {a - 1} for every integer k, step by step, using induction.", MATHS_ANSWER),
        (f"Suppose the sum of two primes is {2 * a * b}. Find the probability that one of them is less than {b}.",
         MATHS_ANSWER),
    ][: 2 + n % 2]  # fmt: skip


MODES: Final = {"python": python_chat, "story": story_chat, "maths": maths_chat}


def conversation(mode: str, n: int, time: float) -> dict[str, Any]:
    """One conversation as ChatGPT exports it: a tree of nodes that happens to have one branch."""
    name = f"{mode}-{n:02d}"
    mapping: dict[str, Any] = {f"{name}-root": {"id": f"{name}-root", "message": None, "parent": None, "children": []}}
    last = f"{name}-root"
    turns = [(role, text) for said, answer in MODES[mode](n) for role, text in (("user", said), ("assistant", answer))]
    for i, (role, text) in enumerate(turns):
        node = f"{name}-{i}"
        mapping[last]["children"].append(node)
        mapping[node] = {
            "id": node, "parent": last, "children": [],
            "message": {
                "id": node, "author": {"role": role}, "create_time": time + 60 * i,
                "content": {"content_type": "text", "parts": [text]},
            },
        }  # fmt: skip
        last = node
    return {
        "title": f"Chat {n} about {mode}", "create_time": time, "mapping": mapping, "current_node": last,
        "conversation_id": name, "default_model_slug": "gpt-4o",
    }  # fmt: skip


def conversations(of_each: int = 20) -> list[dict[str, Any]]:
    """`of_each` conversations of every mode, the modes taking turns: about 2.5 messages of the person each."""
    return [
        conversation(mode, n, 1.7e9 + 86_400.0 * (len(MODES) * n + i))
        for n in range(of_each)
        for i, mode in enumerate(MODES)
    ]


def mode_of(message_id: str) -> str:
    """The way of working a message was written in."""
    return message_id.split("-", maxsplit=1)[0]


def write_export(path: Path, of_each: int = 20) -> Path:
    """Write the export as conversations.json and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(conversations(of_each)), encoding="utf-8")
    return path
