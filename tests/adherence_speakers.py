"""Speakers and judges whose truth is known: prompts ask for words to be said, and answers hold them or not.

`spoken` answers as a persona or as the plain model; `judged` answers a judge's call by looking whether the words are there.
"""

from __future__ import annotations

import json
import random
import re

from innercouncil.model.ports import ChatTurn

WORDS = ("anchor", "barley", "cinder", "dapple", "ember", "fathom")
SYSTEM = "You are Ada.\n" + "\n".join(f"- Always say the word {w}." for w in WORDS)
_RULE = re.compile(r"^(\d+)\. Does the answer keep to this rule: “Always say the word (\w+)\.”\?$", re.MULTILINE)
_KNOWN = re.compile(r"^(\d+)\. Does the word “(\w+)” stand in the answer\?$", re.MULTILINE)
_NUMBER = re.compile(r"^(\d+)\. ", re.MULTILINE)
_ANSWER = re.compile(r"<<<answer\n(.*?)\n>>>", re.DOTALL)


def spoken(turns: tuple[ChatTurn, ...], seed: int, *, fading: float = 0.0) -> str:
    """Each word with 90% under the persona's prompt and 30% without; `fading` is taken off with every turn before."""
    draw = random.Random(seed)
    before = sum(t.role == "assistant" for t in turns)
    share = max(0.9 - fading * before, 0.05) if turns[0].role == "system" else 0.3
    said = [w for w in WORDS if draw.random() < share]
    return " ".join(["Well then, here is what there is about it:", *said, "and nothing more."])


def judged(request: str, *, always: str = "") -> str:
    """JSON by item; `always` says the same to everything."""
    if always:
        return json.dumps(dict.fromkeys(_NUMBER.findall(request.split("<<<checklist")[1]), always))
    found = _ANSWER.search(request)
    words = set(re.findall(r"\w+", found[1] if found else ""))
    items = [*_RULE.findall(request), *_KNOWN.findall(request)]
    return json.dumps({n: "yes" if word in words else "no" for n, word in items})
