"""What the fuzzer has found so far is read again in every run; the fuzzer itself is fuzz/fuzz.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
sys.path.insert(0, str(FUZZ))

from targets import TARGETS  # noqa: E402

from innercouncil.cards import registry as cards  # noqa: E402
from innercouncil.readers import registry as readers  # noqa: E402


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_is_read_or_refused(name: str) -> None:
    files = sorted((FUZZ / "corpus" / name).iterdir())
    assert len(files) >= 3, "the corpus is kept with the code"
    for file in files:
        try:
            TARGETS[name](file.read_bytes())
        except Exception as error:
            raise AssertionError(f"{file.relative_to(FUZZ)}") from error


def test_no_reader_and_no_importer_is_forgotten() -> None:
    formats = {f.NAME for f in (*readers.ELEMENT_FORMATS, *readers.FILE_FORMATS, readers.LAST_RESORT)}
    assert formats <= set(TARGETS)
    assert len(cards._PARSERS) == 8, "a new importer of cards needs a target in fuzz/targets.py and a seed"
