"""Languages by their ISO 639-1 codes, as models are told of them."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = {
    "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese", "nl": "Dutch",
    "pl": "Polish", "ru": "Russian", "tr": "Turkish", "ja": "Japanese", "zh": "Chinese", "ko": "Korean",
}  # fmt: skip
