"""A training that continues an adapter from preferences: its plan, and what stands in its way."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from innercouncil.app.tune_plan import checked
from innercouncil.app.tune_train import ADAPTER_FILES, PARENT, bring_back
from innercouncil.app.tune_watch import find_card
from innercouncil.model.errors import UsageError
from innercouncil.model.slug import slug_of
from innercouncil.model.training import AdapterCard, BaseModel, Hardware, TrainingCheck, Wish
from innercouncil.store.workspace import Workspace, file_digest
from innercouncil.tuning.bases import find_base
from innercouncil.tuning.plan import budget_of, fit, make_plan
from innercouncil.tuning.preference_rows import preference_facts

LEARNING_RATE: Final = 5e-6


def check_continuing(
    ws: Workspace, from_adapter: Path, preferences: Path, wish: Wish, hardware: Hardware, *, output: Path | None = None,
    eval_data: Path | None = None, anyway: bool = False,
) -> TrainingCheck:  # fmt: skip
    """Settle a plan and say what it needs. Raises UsageError."""
    parent = _parent(from_adapter)
    kind, facts = preference_facts(preferences)
    _check_new(parent, from_adapter, facts.digest)
    beside = eval_data or preferences.with_name(f"{preferences.stem}_eval.jsonl")
    held = preference_facts(beside)[1] if beside.is_file() and beside.stat().st_size else None
    base, old = _base(wish, parent), parent.settings
    # The adapter has its shape already; what a plan may choose is all the rest.
    wish = msgspec.structs.replace(
        wish, lora_r=old.lora_r, lora_alpha=old.lora_alpha, lora_dropout=old.lora_dropout, targets=old.targets,
        rslora=old.rslora, learning_rate=wish.learning_rate or LEARNING_RATE,
    )  # fmt: skip
    place = output or from_adapter
    plan = make_plan(
        wish, base, hardware, slug=slug_of(place.name.removeprefix("persona_")), data=str(preferences),
        eval_data=str(beside) if held else "", output=str(place), facts=facts,
    )  # fmt: skip
    voice = ws.lora_training / old.eval_data if old.eval_data else None
    plan = msgspec.structs.replace(
        plan, method=kind, unsloth=False, from_adapter=str(from_adapter), from_sha256=file_digest(from_adapter / ADAPTER_FILES[0]),
        voice_rows=str(voice) if voice and voice.is_file() and file_digest(voice) == parent.eval_digest else "",
    )  # fmt: skip
    budget = budget_of(wish.mode, hardware)
    # Chosen and rejected answers run side by side, so there are twice as many rows in memory as in a batch.
    doubled = msgspec.structs.replace(plan, batch_size=2 * plan.batch_size)
    fitted, steps = fit(doubled, msgspec.structs.replace(wish, batch_size=doubled.batch_size), hardware, budget.size)
    check = checked(fitted, wish, hardware, facts, held, budget=budget, steps=steps, anyway=anyway)
    return msgspec.structs.replace(
        check, plan=msgspec.structs.replace(fitted, batch_size=plan.batch_size),
        notes=(*check.notes, "The memory of a training from preferences is estimated as that of twice the rows; it was not measured."),
    )  # fmt: skip


def _parent(folder: Path) -> AdapterCard:
    bring_back(folder)
    card = find_card(folder)
    if card is None or not all((folder / name).is_file() for name in ADAPTER_FILES):
        raise UsageError(
            f"{folder} is not the folder of an adapter of ours (card.json and its weights); train one first with `innercouncil tune train`."
        )
    return card


def _check_new(parent: AdapterCard, folder: Path, digest: str) -> None:
    if parent.continued is not None and parent.continued.data_digest == digest:
        raise UsageError(
            f"{parent.id} was continued from exactly these preferences already; what it was before is kept in {folder / PARENT}."
        )


def _base(wish: Wish, parent: AdapterCard) -> BaseModel:
    if wish.base_model is not None:
        base = find_base(wish.base_model)
    else:
        try:
            base = find_base(parent.base)
        except UsageError:
            raise UsageError(
                f"{parent.id} was trained on a folder called {parent.base}; say where it is with --base-model DIR."
            ) from None
    if base.shape != parent.settings.base.shape or base.architecture != parent.settings.base.architecture:
        raise UsageError(f"{parent.id} was trained on {parent.base}, and {base.name} is another model.")
    return base
