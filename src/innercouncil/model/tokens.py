"""How many tokens a text is, without a tokenizer, and texts that hold none of a chat template's own."""

from __future__ import annotations

import math
import re
from typing import Final

_PIECE_RE: Final = re.compile(r"[A-Za-z]+|\d|[^\sA-Za-z\d]")


def estimate_tokens(text: str) -> int:
    """Upper estimate of Qwen2.5's token count: a token for every digit and sign, one for five letters of a Latin word,
    one and a half for any other letter. On English prose it lies 5-25% above byte-pair counts of that size.
    """
    total = 0.0
    for piece in _PIECE_RE.findall(text):
        total += math.ceil(len(piece) / 5) if piece.isascii() and piece.isalpha() else 1.0 if piece.isascii() else 1.5
    return math.ceil(total) + text.count("\n")


def disarm(text: str) -> str:
    """Text in which no chat template's own marks (`<|im_end|>`) can stand: they would end the turn they stand in."""
    return text.replace("<|", "< |").replace("|>", "| >")
