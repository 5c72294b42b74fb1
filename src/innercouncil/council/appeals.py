"""Answers that speak to the judges: found, shown to the person, and withheld from the voters."""

from __future__ import annotations

import re
from typing import Final

_APPEAL_RE: Final = re.compile(
    r"\b(?:rank|rate|score|vote\s+for|choose|pick|prefer|select|favou?r|put)\s+(?:me|this\s+(?:answer|response|one)|my\s+(?:answer|response)"
    r"|(?:answer|response)\s+[A-Z]\b)"
    r"|\b(?:judges?|voters?|evaluators?|graders?|rankers?)\s*[:,!]"
    r"|\b(?:note|message|instructions?)\s+(?:to|for)\s+(?:the\s+|all\s+)?(?:judges?|voters?|evaluators?|graders?|synthesi[sz]er)"
    r"|\b(?:ignore|disregard|forget)\s+(?:all\s+|any\s+|the\s+|your\s+)*(?:previous|prior|above|earlier|other|system)?\s*"
    r"(?:instructions|rules|prompt|answers)\b"
    r"|\b(?:this|my)\s+(?:answer|response)\s+(?:is|must\s+be|should\s+be|deserves)\s+(?:the\s+)?(?:ranked|first|best|winner|to\s+win)"
    r"|[\"']?ranking[\"']?\s*:\s*[\"'\[]?\s*[A-Z]\b"
    r"|\b(?:bewerte|wähle?|stimme\s+für)\s+(?:mich|diese\s+antwort|meine\s+antwort)",
    re.IGNORECASE,
)
_SENTENCE_RE: Final = re.compile(r"[^.!?\n]+[.!?]*[ \t]*|\n+|[.!?]+[ \t]*")


def split_appeals(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without the sentences that address judges, and those sentences.

    Sentences end at . ! ? and line ends; what cannot be told from honest talk about rankings is left in.
    """
    if not _APPEAL_RE.search(text):
        return text, ()
    kept: list[str] = []
    appeals: list[str] = []
    for match in _SENTENCE_RE.finditer(text):
        sentence = match.group()
        if _APPEAL_RE.search(sentence):
            appeals.append(sentence.strip())
        else:
            kept.append(sentence)
    return "".join(kept).strip(), tuple(appeals)


_REFUSAL_RE: Final = re.compile(
    r"^\W*(?:I['’]m\s+(?:very\s+)?sorry,?\s+(?:but\s+)?I\s+(?:can(?:['’]t|not)|am\s+(?:not\s+able|unable))"
    r"|(?:Sorry,?\s+(?:but\s+)?)?I\s+(?:can(?:['’]t|not)|am\s+(?:not\s+able|unable)\s+to|won['’]t)\s+"
    r"(?:help|assist|answer|provide|comply|do\s+that|fulfil)"
    r"|As\s+an\s+AI(?:\s+language\s+model)?,?\s+I\s+(?:can(?:['’]t|not)|am\s+(?:not\s+able|unable)))",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether a short answer does nothing but decline (English)."""
    return len(text) < 600 and _REFUSAL_RE.match(text) is not None
