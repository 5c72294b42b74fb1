"""Train adapters: each in a process of its own, whose progress file terminal and web watch; several one after another.

While a training runs, everything lies in `<output>/.run`; the adapter, its GGUF and its card replace what was there before
only when all of them are whole. What `.run` holds belongs to one plan and one content of the rows: the same command goes on.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import filelock
import msgspec

from innercouncil.app.tune_card import GATES, write_card
from innercouncil.app.tune_plan import checked
from innercouncil.app.tune_watch import CARD, PID, PROGRESS, find_card, read_progress
from innercouncil.model.errors import TrainingError, UsageError, WorkspaceError
from innercouncil.model.extras import to_install
from innercouncil.model.training import AdapterCard, TrainingCheck, TrainingEvent, TrainingPlan, Wish
from innercouncil.store.workspace import disk_errors, file_digest, fingerprint, private_folder, writing
from innercouncil.tuning.bases import find_base
from innercouncil.tuning.child import STOPPED
from innercouncil.tuning.gguf import OutType, write_gguf
from innercouncil.tuning.memory import GIB
from innercouncil.tuning.plan import budget_of, check_base, smaller_after_failure

PARENT: Final = "parent"
ADAPTER_FILES: Final = ("adapter_model.safetensors", "adapter_config.json")
LOOK_S: Final = 0.2
"""Seconds between two looks at the progress file."""
STOP_S: Final = 120
"""Longest a child may take to finish its step and write a checkpoint."""

Watch = Callable[[TrainingEvent], None]
Agree = Callable[[TrainingCheck, str], bool]
"""Shown the smaller plan and what changes; whether to go on with it."""


class Trained(NamedTuple):
    """What came of one persona."""

    slug: str
    card: AdapterCard | None
    kept: bool
    """Whether it was there before, from the same plan and rows."""
    problem: str


def train_each(
    checks: Sequence[TrainingCheck], wish: Wish, *, watch: Callable[[TrainingCheck, TrainingEvent], None], agrees: Agree,
    refresh: bool = False,
) -> Iterator[Trained]:  # fmt: skip
    """Train one after another; one that fails does not keep the others from their turn."""
    for check in checks:
        try:
            yield train_until_it_fits(check, wish, watch=watch, agrees=agrees, refresh=refresh)
        except (TrainingError, WorkspaceError) as error:
            yield Trained(check.plan.slug, None, False, str(error))


def train_until_it_fits(
    check: TrainingCheck, wish: Wish, *, watch: Callable[[TrainingCheck, TrainingEvent], None], agrees: Agree,
    refresh: bool = False,
) -> Trained:  # fmt: skip
    """Train; where memory runs out, offer the next smaller plan, and so on. Raises TrainingError."""
    while True:
        try:
            return train_adapter(check, watch=lambda event, c=check: watch(c, event), refresh=refresh)  # type: ignore[misc]
        except TrainingError as error:
            if error.reason != "memory":
                raise
            check = _offered(check, wish, error, agrees)


def _offered(check: TrainingCheck, wish: Wish, error: TrainingError, agrees: Agree) -> TrainingCheck:
    found = smaller_after_failure(check.plan, wish, check.hardware)
    if found is None:
        raise TrainingError(
            f"{error} There is no smaller plan; choose a smaller base with --base-model.", "memory"
        ) from None
    plan, step = found
    smaller = checked(
        plan, wish, check.hardware, check.data, check.held_out, budget=budget_of(wish.mode, check.hardware), steps=[step], anyway=True
    )  # fmt: skip
    if not agrees(smaller, step):
        raise TrainingError(
            f"{error} A smaller plan would need {smaller.need / GIB:.2f} instead of {check.need / GIB:.2f} GiB: {step}. Add --yes "
            "to take it.", "memory",
        ) from None  # fmt: skip
    return smaller


def train_adapter(check: TrainingCheck, *, watch: Watch, refresh: bool = False) -> Trained:
    """Train one adapter, or go on with it, or find it done. Raises TrainingError, WorkspaceError."""
    plan, output = check.plan, Path(check.plan.output)
    mark = _mark(check)
    with _held(output):
        card = None if refresh else find_card(output)
        if card is not None and card.id == f"{plan.slug}-{mark[:8]}" and _complete(output, card):
            return Trained(plan.slug, card, True, "")
        run = _prepare(output, plan, mark, refresh=refresh)
        _run_child(output, run, watch)
        result = msgspec.json.decode((run / "result.json").read_bytes())
        card = _publish(check, output, run, mark, result)
        _note(output, TrainingEvent(event="done", step=card.best_step, eval_loss=card.best_loss), watch)
        return Trained(plan.slug, card, False, "")


def export_gguf(folder: Path, base: str | None, output: Path | None, outtype: OutType) -> tuple[Path, int]:
    """Write the GGUF of a PEFT adapter; the file and its number of modules. Raises UsageError."""
    card = find_card(folder)
    if base is not None:
        found = find_base(base)
    elif card is not None:
        found = card.settings.base
    else:
        raise UsageError(f"{folder} has no card that names the base of its adapter; say it with --base-model.")
    check_base(found)
    file = output or folder / "adapter.gguf"
    with disk_errors(file):
        return file, write_gguf(folder, found, file, outtype=outtype)


def settings_of(plan: TrainingPlan, run: Path, progress: Path) -> dict[str, Any]:
    """What `tuning.training.train` is told."""
    settings: dict[str, Any] = msgspec.to_builtins(plan)
    base = settings.pop("base")
    return settings | {"base_weights": base["weights"], "run": str(run), "progress": str(progress)}


def _mark(check: TrainingCheck) -> str:
    """What a training depends on: the plan, but for places and patience with them, and the content of the rows."""
    plan = msgspec.structs.replace(
        check.plan, data="", eval_data="held out" if check.plan.eval_data else "", output="", from_adapter="", voice_rows="",
    )  # fmt: skip
    return fingerprint(
        plan=plan,
        data=check.data.digest if check.data else "",
        held_out=check.held_out.digest if check.held_out else "",
    )


def _complete(output: Path, card: AdapterCard) -> bool:
    return all(
        (output / name).is_file() and file_digest(output / name) == digest for name, digest in card.files.items()
    )


@contextlib.contextmanager
def _held(output: Path) -> Iterator[None]:
    with disk_errors(output):
        private_folder(output.parent)
        output.mkdir(exist_ok=True)
    lock = filelock.FileLock(output / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise WorkspaceError(f"{output} is being trained by another process; wait for it or stop it.") from None
    try:
        yield
    finally:
        lock.release()


def _prepare(output: Path, plan: TrainingPlan, mark: str, *, refresh: bool) -> Path:
    """The run's folder: what an interrupted training of the same plan left, else empty."""
    run = output / ".run"
    kept = run / "mark"
    with disk_errors(run):
        if refresh or not kept.is_file() or kept.read_text("utf-8") != mark:
            shutil.rmtree(run, ignore_errors=True)
            (output / PROGRESS).unlink(missing_ok=True)
            run.mkdir(parents=True)
            kept.write_text(mark, "utf-8")
    with writing(run / "settings.json") as out:
        out.write(msgspec.json.format(msgspec.json.encode(settings_of(plan, run, output / PROGRESS)), indent=2))
    return run


def _run_child(output: Path, run: Path, watch: Watch) -> None:
    """Train in a child and pass its events on. Raises TrainingError; an interruption lets it write a checkpoint first."""
    progress = output / PROGRESS
    offset = progress.stat().st_size if progress.exists() else 0
    process = subprocess.Popen(  # noqa: S603 - our own module, and a file it wrote
        [sys.executable, "-m", "innercouncil.tuning.child", str(run / "settings.json")],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    (run / PID).write_text(f"{process.pid}", "utf-8")
    failure: TrainingEvent | None = None
    try:
        running = True
        while running:
            running = process.poll() is None
            events, offset = read_progress(progress, offset)
            for event in events:
                failure = event if event.event == "failed" else None
                watch(event)
            if running:
                time.sleep(LOOK_S)
    except BaseException:
        process.stdin.close()
        watch(TrainingEvent(event="stopping"))
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(STOP_S)
        raise
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdin.close()
    if process.returncode != 0:
        raise _explained(process.returncode, failure)


def _explained(code: int, failure: TrainingEvent | None) -> TrainingError:
    if failure is not None:
        todo = {
            "package": f" To install what is missing, {to_install('tune')}.",
            "other": " Run it again: it goes on from its last checkpoint; --refresh begins anew.",
        }.get(failure.reason, "")
        return TrainingError(f"{failure.text}{'' if failure.text.endswith('.') else '.'}{todo}", failure.reason)
    if code == STOPPED:
        return TrainingError("It was stopped; run the same command to go on.", "stopped")
    if code == -9:
        return TrainingError("The system ended the training, most likely because memory ran out.", "memory")
    return TrainingError(f"The training's process died (exit code {code}); run the same command to go on.", "other")


def _publish(check: TrainingCheck, output: Path, run: Path, mark: str, result: dict[str, Any]) -> AdapterCard:
    """Bring the adapter, its GGUF and its card to their place, the card last."""
    plan, made = check.plan, run / "adapter"
    _forget_place(made / "adapter_config.json", plan)
    parent = keep_parent(plan) if plan.method != "sft" else None
    write_gguf(made, plan.base, made / "adapter.gguf")
    with disk_errors(output):
        (output / CARD).unlink(missing_ok=True)
        (output / GATES).unlink(missing_ok=True)
        for name in (*ADAPTER_FILES, "adapter.gguf"):
            (made / name).replace(output / name)
    files = {name: file_digest(output / name) for name in (*ADAPTER_FILES, "adapter.gguf")}
    card = write_card(check, output, f"{plan.slug}-{mark[:8]}", result, files, parent)
    shutil.rmtree(run, ignore_errors=True)
    return card


def _forget_place(path: Path, plan: TrainingPlan) -> None:
    """PEFT notes the folder the base was loaded from; whoever gets the adapter has no use for a path of this machine."""
    config = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    folder = Path(plan.base.weights)
    config["base_model_name_or_path"] = folder.name if folder.is_dir() else plan.base.weights
    with writing(path) as out:
        out.write(msgspec.json.format(msgspec.json.encode(config), indent=2))


def keep_parent(plan: TrainingPlan) -> AdapterCard | None:
    """The card of the adapter that was continued; where the new one takes its place, it is kept in the folder `parent`."""
    folder = Path(plan.from_adapter)
    card = find_card(folder)
    if folder.resolve() == Path(plan.output).resolve():
        kept = folder / PARENT
        with disk_errors(kept):
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir()
            for name in (*ADAPTER_FILES, "adapter.gguf", CARD, GATES):
                if (folder / name).is_file():
                    shutil.copy2(folder / name, kept / name)
    return card


def bring_back(folder: Path) -> None:
    """Undo a placement that was cut off: an adapter without a card becomes again what it was, kept in `parent`; its card last.

    Raises WorkspaceError while another process trains there.
    """
    kept = folder / PARENT
    if (folder / CARD).exists() or not (kept / CARD).is_file():
        return
    with _held(folder), disk_errors(folder):
        for name in (*ADAPTER_FILES, "adapter.gguf", GATES, CARD):
            if (kept / name).is_file():
                with writing(folder / name) as out:
                    out.write((kept / name).read_bytes())


def _note(output: Path, event: TrainingEvent, watch: Watch) -> None:
    with disk_errors(output), (output / PROGRESS).open("ab") as file:
        file.write(msgspec.json.encode(event) + b"\n")
    watch(event)
