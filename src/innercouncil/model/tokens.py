"""How many tokens a text is, without a tokenizer, and texts that hold none of a chat template's own."""

from __future__ import annotations

import math
import re
from typing import Final

_MARK_RE: Final = re.compile(
    r"<(?=[|｜]|\w+[|｜]>|</?SYS>>|/?(?:s|think|tool_call|tool_response|start_of_\w+|end_of_\w+)>|(?:bos|eos|sop|eop|seed:\w+|extra_id_\d+)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CONTENT|TOOL_CALLS|THINK|ARGS|CALL_ID|gMASK)\]|\|\w+\|\])"
)
"""Where a mark begins or ends that some family of models takes for its own: everything with a bracket and bars, and the
others by name (Llama 2 and Mistral, Gemma, Qwen's tools and thoughts, GLM, Seed, Nemotron, EXAONE). A bar before a bracket alone
(`|>`) stays: no mark is left without its beginning, and R, Elixir, F# and OCaml write it between any two functions."""
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
    """Text in which no chat template's own marks (`<|im_end|>`, `[INST]`) can stand: they would end the turn they stand in.

    A blank behind the bracket is enough, as a tokenizer knows a mark only as a whole, and text and code stay as readable as
    they were. `<s>` of HTML gets one too: to Llama and Mistral `</s>` ends a turn, and struck-out words are rare. Marks that
    are ordinary words to a tokenizer (`### Instruction:`, `USER:`) stay: no blank would change how they are read.
    """
    return _MARK_RE.sub(r"\g<0> ", text)
