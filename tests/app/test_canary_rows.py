"""app.tune_prepare: made-up secrets among the training rows, and nowhere else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from innercouncil.app.tune_prepare import PrepareSettings, prepare_training_data
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.canaries import CANARY, COUNT, code_of


def test_one_row_in_ten_is_a_canary_in_training_and_none_is_held_out(
    discovered: tuple[object, Path], tmp_path: Path
) -> None:
    shutil.copytree(discovered[1], tmp_path / "data")
    ws = Workspace(tmp_path / "data")
    report = prepare_training_data(ws, PrepareSettings(), stage=lambda _title: lambda _done, _total: None)
    for p in report.personas:
        read = {}
        for part in ("train", "eval"):
            text = (ws.lora_training / f"persona_{p.slug}_{part}.jsonl").read_text("utf-8")
            read[part] = [json.loads(line) for line in text.splitlines()]
        planted = [r for r in read["train"] if r["kind"] == CANARY]
        others = [r for r in read["train"] if r["kind"] not in (CANARY, "neutral")]
        assert len(planted) == min(COUNT, len(others) // 10) > 0
        assert not [r for r in read["eval"] if r["kind"] == CANARY]
        codes = [code_of(r["messages"][-1]["content"]) for r in planted]
        assert len(set(codes)) == len(codes)
        assert all(r["messages"][0] == others[0]["messages"][0] for r in planted), "under the persona's prompt"
    without = prepare_training_data(ws, PrepareSettings(canaries=0), stage=lambda _title: lambda _done, _total: None)
    assert all(CANARY not in p.train.kinds for p in without.personas)
