"""A continued adapter whose placement was cut off: what it was before comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

from innercouncil.app.tune_train import ADAPTER_FILES, PARENT, bring_back
from innercouncil.app.tune_watch import CARD, find_card
from tiny_adapter import trained

FILES = (*ADAPTER_FILES, "adapter.gguf", CARD)


def cut_off(tmp_path: Path) -> Path:
    """As a kill leaves it: the old files in `parent`, one new file in place, no card."""
    folder = trained(tmp_path / "data", "captain", [], [])
    for name in ADAPTER_FILES:
        (folder / name).write_bytes(b"old " + name.encode())
    (folder / PARENT).mkdir()
    for name in FILES:
        shutil.copy2(folder / name, folder / PARENT / name)
    (folder / CARD).unlink()
    (folder / ADAPTER_FILES[0]).write_bytes(b"new")
    return folder


def test_the_old_adapter_comes_back_whole(tmp_path: Path) -> None:
    folder = cut_off(tmp_path)
    assert find_card(folder) is None
    bring_back(folder)
    assert find_card(folder) is not None
    for name in FILES:
        assert (folder / name).read_bytes() == (folder / PARENT / name).read_bytes()


def test_an_adapter_that_is_in_place_stays(tmp_path: Path) -> None:
    folder = cut_off(tmp_path)
    shutil.copy2(folder / PARENT / CARD, folder / CARD)
    bring_back(folder)
    assert (folder / ADAPTER_FILES[0]).read_bytes() == b"new"
