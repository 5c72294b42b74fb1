"""The card of an adapter: for programs as card.json, for people as README.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from innercouncil.app.tune_watch import CARD
from innercouncil.model.preferences import Continued
from innercouncil.model.training import AdapterCard, LossPoint, TrainingCheck
from innercouncil.store.workspace import writing

_BARS: Final = "▁▂▃▄▅▆▇█"
GATES: Final = "gates.json"
WIDTH: Final = 60
"""Characters of a curve."""


def write_card(
    check: TrainingCheck, output: Path, id_: str, result: dict[str, Any], files: dict[str, str], parent: AdapterCard | None = None
) -> AdapterCard:  # fmt: skip
    """Write card.json and README.md; no text of a row is in either. Raises WorkspaceError.

    With `parent` the adapter was continued from preferences: the rows it speaks after are still the parent's.
    """
    plan, data, held = check.plan, check.data, check.held_out
    folder = Path(plan.base.weights)
    weights = folder.name if folder.is_dir() else plan.base.weights
    base = msgspec.structs.replace(plan.base, weights=weights, name=folder.name if folder.is_dir() else plan.base.name)
    card = AdapterCard(
        id=id_, persona=plan.slug, base=base.name, base_weights=weights, base_revision=result["base_revision"],
        base_licence=base.licence, data_digest=data.digest if data else "", eval_digest=held.digest if held else "",
        rows=result["rows"], eval_rows=result["eval_rows"], dropped=result["dropped"], cut=result["cut"],
        supervised_tokens=result["supervised_tokens"],
        settings=msgspec.structs.replace(
            plan, base=base, data=Path(plan.data).name, eval_data=Path(plan.eval_data).name if plan.eval_data else "", output=""
        ),
        train_loss=_points(result["train_loss"]), eval_loss=_points(result["eval_loss"]), best_step=result["best_step"],
        best_loss=result["best_loss"], first_loss=result["first_loss"],
        stopped_early=result["last_step"] < result["max_steps"], seconds=result["seconds"], memory=result["memory"],
        device=check.hardware.name, packages=result["packages"], files=files,
    )  # fmt: skip
    if parent is not None:
        card = _continued(card, parent, result)
    save_card(card, output)
    return card


def _continued(card: AdapterCard, parent: AdapterCard, result: dict[str, Any]) -> AdapterCard:
    p = card.settings
    settings = msgspec.structs.replace(
        p, data=parent.settings.data, eval_data=parent.settings.eval_data, from_adapter="", voice_rows=""
    )
    how = Continued(
        method="kto" if p.method == "kto" else "dpo", parent=parent.id, data_digest=card.data_digest, rows=card.rows,
        eval_rows=card.eval_rows, beta=p.beta, **result["preference"],
    )  # fmt: skip
    return msgspec.structs.replace(
        card, settings=settings, data_digest=parent.data_digest, eval_digest=parent.eval_digest, rows=parent.rows,
        eval_rows=parent.eval_rows, dropped=parent.dropped, cut=parent.cut, supervised_tokens=parent.supervised_tokens,
        continued=how,
    )  # fmt: skip


def save_card(card: AdapterCard, output: Path) -> None:
    """Write a card for programs and for people. Raises WorkspaceError."""
    with writing(output / "README.md") as out:
        out.write(readme(card).encode())
    with writing(output / CARD) as out:
        out.write(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")


def readme(card: AdapterCard) -> str:
    """The card for people, in Markdown."""
    p = card.settings
    then = _preferred(card.continued) if card.continued else ""
    held = f"{card.first_loss:.3f} before, {card.best_loss:.3f} at the best step, {card.best_step}" if card.best_loss is not None and card.first_loss is not None else "nothing was held out"  # fmt: skip
    early = "; it stopped early" if card.stopped_early else ""
    packages = ", ".join(f"{name} {version}" for name, version in card.packages.items())
    files = "\n".join(f"- `{name}`: SHA-256 {digest}" for name, digest in card.files.items())
    return f"""# Adapter {card.id}

LoRA adapter of the persona `{card.persona}` for `{card.base_weights}`{f" at {card.base_revision}" if card.base_revision else ""}.
It changes how the base speaks; it was trained on one person's own texts and may repeat them: share it as you would share those.

- Licence of the base, which binds the adapter too: {card.base_licence}
- Rows: {card.rows} ({card.cut} cut, {card.dropped} dropped), {card.supervised_tokens} supervised tokens, SHA-256 {card.data_digest}
- Held-out rows: {card.eval_rows}{f", SHA-256 {card.eval_digest}" if card.eval_digest else ""}
- Held-out loss: {held}{early}{then}
- Settings: rank {p.lora_r}, alpha {p.lora_alpha:g}{", rsLoRA" if p.rslora else ""}, {p.targets}, dropout {p.lora_dropout:g}, base in {"4 bits" if p.quantise == "nf4" else p.dtype}, {p.epochs:g} epochs, {p.batch_size} x {p.accumulation} rows a step, at most {p.max_length} tokens, learning rate {p.learning_rate:g} (cosine), {p.optimizer}, seed {p.seed}
- Trained in {card.seconds:.0f} s on {card.device}, at most {card.memory / 1e9:.2f} GB held, with {packages}

Training loss, then held-out loss, from the first step to the last:

```
{curve(card.train_loss)}
{curve(card.eval_loss)}
```

Gates:

{_gates(card)}

Files:

{files}
"""


def _preferred(c: Continued) -> str:
    right = f", and {c.right:.0%} of the chosen answers gained on the rejected ones" if c.right is not None else ""
    held = f"; on {c.eval_rows} held-out ones the loss went from {c.loss_before:.3f} to {c.loss_after:.3f}{right}" if c.loss_before is not None and c.loss_after is not None else ""  # fmt: skip
    return f"\n- Continued from {c.parent} by {c.method.upper()} (beta {c.beta:g}) on {c.rows} preferences, SHA-256 {c.data_digest}{held}"


def _gates(card: AdapterCard) -> str:
    if card.gates is None:
        return "They were not run yet; `innercouncil tune gates` does."
    g = card.gates
    lines = [f"- {gate.name}, {gate.outcome}: {gate.words}" for gate in g.gates]
    said = "It may serve." if g.passed else f"It may not serve: {', '.join(g.blocking)}."
    forced = [f"- Seated all the same. The reason given: {' '.join(card.forced.split())}"] if card.forced else []
    return "\n".join([f"{said} Run on {g.base} (SHA-256 {g.base_sha256}).", "", *lines, *forced])


def curve(points: tuple[LossPoint, ...]) -> str:
    """Losses as a line of bars with the first and the last figure."""
    if not points:
        return "(none)"
    losses = [p.loss for p in points]
    shown = [losses[i * len(losses) // min(WIDTH, len(losses))] for i in range(min(WIDTH, len(losses)))]
    low, high = min(losses), max(losses)
    bars = "".join(_BARS[round((x - low) / ((high - low) or 1) * (len(_BARS) - 1))] for x in shown)
    return f"{losses[0]:7.3f} {bars} {losses[-1]:.3f}"


def _points(pairs: list[list[float]]) -> tuple[LossPoint, ...]:
    return tuple(LossPoint(int(step), loss) for step, loss in pairs)
