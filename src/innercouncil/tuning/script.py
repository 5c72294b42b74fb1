"""`--generate-script`: the training as one readable file that runs elsewhere.

The file holds the plan's settings and the very source of `tuning.training`, so it cannot drift from the command.
"""

from __future__ import annotations

import pprint
import re
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec

from innercouncil.model.training import TrainingCheck

MARK: Final = "# --- what a generated script begins with ---\n"
LEAST: Final = {
    "torch": "2.11", "transformers": "5.17", "peft": "0.21.2", "trl": "1.15", "datasets": "4.6", "accelerate": "1.15",
    "psutil": "7.0", "bitsandbytes": "0.50",
}  # fmt: skip
"""Versions to ask for where this machine has none installed."""


def script_name(slug: str) -> str:
    """Name of the file for a persona."""
    return f"train_{slug.replace('-', '_')}_lora.py"


def training_script(check: TrainingCheck) -> str:
    """The script for a plan. It quotes no row and names the files of rows as the plan does."""
    plan = check.plan
    settings: dict[str, Any] = msgspec.to_builtins(plan)
    base = settings.pop("base")
    settings = {"base_weights": base["weights"], **{k: v for k, v in settings.items() if k not in ("output", "slug")}}
    packages = _packages(check)
    imports, body = _training_source()
    digests = {
        "data": check.data.digest if check.data else "",
        "eval_data": check.held_out.digest if check.held_out else "",
    }
    files = [plan.data, plan.eval_data] if plan.eval_data else [plan.data]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - no page
    template = environment.from_string(_text("script.py.jinja"))
    return template.render(
        dependencies=", ".join(f'"{p}"' for p in packages), packages=" ".join(f'"{p}"' for p in packages), slug=plan.slug,
        base=_plain(plan.base.weights), base_name=_plain(plan.base.name), filename=script_name(plan.slug),
        rows_note="Rows: " + ", ".join(_plain(Path(f).name) for f in files) + ".", imports=imports, body=body,
        settings=pprint.pformat(settings, sort_dicts=False, width=110), digests=pprint.pformat(digests),
        output=repr(f"persona_{plan.slug}"),
    )  # fmt: skip


def _plain(text: str) -> str:
    """A name that can stand in a docstring."""
    return re.sub(r"[^\w./:@+ -]", "_", text)


def _packages(check: TrainingCheck) -> list[str]:
    names = [
        n for n in LEAST if n != "bitsandbytes" or check.plan.quantise == "nf4" or check.plan.optimizer == "adamw_8bit"
    ]
    have = check.hardware.packages
    if check.plan.unsloth:
        names.insert(0, "unsloth")
    return [f"{n}=={have[n].partition('+')[0]}" if n in have else f"{n}>={LEAST[n]}" for n in names]


def _training_source() -> tuple[str, str]:
    source = _text("training.py").partition(MARK)[2]
    cut = source.index("\n\n", source.rindex("\nfrom typing"))
    lines = [*source[:cut].strip().splitlines(), "import argparse", "import hashlib", "import signal"]
    return "\n".join(sorted(lines, key=lambda line: (line.startswith("from"), line))), source[cut:].strip()


def _text(name: str) -> str:
    return resources.files(__package__ or "innercouncil.tuning").joinpath(name).read_text("utf-8")
