"""Continuing an adapter from preferences on a tiny real base, by the command: DPO, KTO, resumed, the parent kept. See .ci/run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

if any(importlib.util.find_spec(p) is None for p in ("torch", "trl", "peft")):
    pytest.skip('torch is not installed: pip install ".[tune]"', allow_module_level=True)

from innercouncil.app.tune_continue import check_continuing
from innercouncil.app.tune_plan import check_training, jobs_of
from innercouncil.app.tune_train import train_adapter
from innercouncil.app.tune_watch import find_card
from innercouncil.model.errors import UsageError
from innercouncil.model.training import AdapterCard, TrainingEvent, Wish
from innercouncil.store.workspace import Workspace, file_digest
from innercouncil.tuning.hardware import look
from tiny_base import QUESTIONS, SYSTEM, TOPICS, VOICES, build_base, write_rows

os.environ["OMP_NUM_THREADS"] = "1"
WISH = Wish(epochs=3.0, batch_size=4, accumulation=1, max_length=256, lora_r=8, learning_rate=5e-3, device="cpu")
WEIGHTS = "adapter_model.safetensors"


def silent(_event: TrainingEvent) -> None:
    """Watch and say nothing."""


def pairs(topics: tuple[str, ...]) -> list[dict[str, Any]]:
    """The person likes the captain's answers shouted."""
    out = []
    for topic in topics:
        for question, answer in zip(QUESTIONS, VOICES["captain"], strict=True):
            said = answer.format(topic)
            prompt = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question.format(topic)}]
            out.append({"prompt": prompt, "chosen": said.upper(), "rejected": said})
    return out


def write_pairs(path: Path, topics: tuple[str, ...], kind: str) -> Path:
    lines: list[Any] = []
    for p in pairs(topics):
        said = {k: [{"role": "assistant", "content": p[k]}] for k in ("chosen", "rejected")}
        if kind == "dpo":
            lines.append({"prompt": p["prompt"], **said})
        else:
            lines += [{"prompt": p["prompt"], "completion": said[k], "label": k == "chosen"} for k in said]
    path.write_text("".join(json.dumps(x) + "\n" for x in lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Workspace:
    ws = Workspace(tmp_path_factory.mktemp("work") / "data")
    write_rows(ws.lora_training, "captain", "captain")
    (job,) = jobs_of(ws, ["captain"])
    found = check_training(job, msgspec.structs.replace(WISH, base_model=str(base)), look("cpu", measure=False))
    assert train_adapter(found, watch=silent).card is not None
    for kind in ("dpo", "kto"):
        write_pairs(ws.lora_training / f"preferences_captain_{kind}.jsonl", TOPICS[:8], kind)
        write_pairs(ws.lora_training / f"preferences_captain_{kind}_eval.jsonl", TOPICS[8:10], kind)
    return ws


def continued(ws: Workspace, base: Path, kind: str, output: Path | None, **more: Any) -> AdapterCard:
    wish = msgspec.structs.replace(WISH, base_model=str(base), lora_r=None, learning_rate=1e-3, **more)
    file = ws.lora_training / f"preferences_captain_{kind}.jsonl"
    check = check_continuing(ws, ws.loras / "persona_captain", file, wish, look("cpu", measure=False), output=output)
    assert check.problems == ()
    card = train_adapter(check, watch=silent).card
    assert card is not None
    return card


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_what_was_preferred_is_learnt_and_the_card_tells_of_both_trainings(
    workspace: Workspace, base: Path, tmp_path: Path, kind: str
) -> None:
    parent = find_card(workspace.loras / "persona_captain")
    assert parent is not None
    card = continued(workspace, base, kind, tmp_path / "persona_captain")
    how = card.continued
    assert how is not None
    assert (how.method, how.parent, how.beta) == (kind, parent.id, 0.1)
    assert (how.rows, how.eval_rows) == ((24, 6) if kind == "dpo" else (48, 12))
    assert how.loss_before is not None
    assert how.loss_after is not None
    assert how.loss_after < how.loss_before - 0.02
    assert (how.right is not None and how.right > 0.8) if kind == "dpo" else how.right is None
    assert (card.data_digest, card.rows, card.settings.data) == (parent.data_digest, parent.rows, parent.settings.data)
    assert card.settings.lora_r == parent.settings.lora_r
    assert card.first_loss == pytest.approx(parent.first_loss, rel=0.1), "the text's loss without any adapter"
    assert card.best_loss is not None
    assert card.files[WEIGHTS] != parent.files[WEIGHTS]
    assert sorted(p.name for p in (tmp_path / "persona_captain").iterdir()) == sorted(
        [*card.files, "card.json", "README.md", "progress.jsonl", ".lock"]
    )
    readme = (tmp_path / "persona_captain" / "README.md").read_text("utf-8")
    assert f"Continued from {parent.id} by {kind.upper()} (beta 0.1)" in readme
    assert "MATEY" not in readme


def test_cut_off_it_goes_on_and_comes_to_the_same_adapter(workspace: Workspace, base: Path, tmp_path: Path) -> None:
    whole = continued(workspace, base, "dpo", tmp_path / "one")
    wish = msgspec.structs.replace(WISH, base_model=str(base), lora_r=None, learning_rate=1e-3)
    file = workspace.lora_training / "preferences_captain_dpo.jsonl"
    check = check_continuing(
        workspace, workspace.loras / "persona_captain", file, wish, look("cpu", measure=False), output=tmp_path / "two"
    )

    def interrupt(event: TrainingEvent) -> None:
        if event.event == "step" and event.step >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_adapter(check, watch=interrupt)
    again = train_adapter(check, watch=silent).card
    assert again is not None
    assert again.files[WEIGHTS] == whole.files[WEIGHTS]
    assert again.continued == whole.continued


def test_the_command_takes_the_parent_s_place_keeps_it_and_does_not_do_it_twice(
    workspace: Workspace, base: Path
) -> None:
    folder = workspace.loras / "persona_captain"
    before = file_digest(folder / WEIGHTS)
    (folder / "gates.json").write_text("{}", "utf-8")
    command = [
        sys.executable, "-m", "innercouncil", "tune", "train", "--workspace", str(workspace.root), "--from-adapter", str(folder),
        "--preferences", str(workspace.lora_training / "preferences_captain_dpo.jsonl"), "--base-model", str(base), "--epochs", "1",
        "--max-length", "256", "--device", "cpu", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (card,) = msgspec.json.decode(done.stdout, type=list[AdapterCard])
    assert card.settings.learning_rate == 5e-6
    assert file_digest(folder / WEIGHTS) == card.files[WEIGHTS] != before
    assert file_digest(folder / "parent" / WEIGHTS) == before
    assert not (folder / "gates.json").exists(), "its gates have to be run again"
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "exactly these preferences already" in again.stderr
    with pytest.raises(UsageError, match="exactly these"):
        continued(workspace, base, "dpo", None)
