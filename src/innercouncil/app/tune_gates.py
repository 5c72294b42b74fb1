"""Run the gates of an adapter: both sides answer through one llama.cpp, the base with the adapter switched off.

Needs no torch. Answers are kept one by one, so that a run cut off goes on; one is asked at a time, because servers add up in
another order when answers are written side by side, and the same adapter has to get the same verdict again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from innercouncil.app.tune_adapters import Adapter, adapter_of, digest_of, prompt_digest, prompt_in_force
from innercouncil.app.tune_card import GATES, save_card
from innercouncil.discovery.markers import find_markers
from innercouncil.evaluation.voice import Delta, style_of
from innercouncil.llm.gguf_header import read_header
from innercouncil.model.errors import UsageError
from innercouncil.model.gates import Gate, GateReport, NeutralTask
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, ask_each, complete
from innercouncil.model.tuning import NEUTRAL
from innercouncil.store.workspace import Workspace, disk_errors, fingerprint, whole_lines, writing
from innercouncil.tuning.canaries import CANARY, code_of, prefix_of
from innercouncil.tuning.checkers import is_right, neutral_tasks
from innercouncil.tuning.gates import Said, Spoken, copying, forgetting, has_passed, perplexity, privacy, voice
from innercouncil.tuning.rows import Row, read_rows

if TYPE_CHECKING:
    from innercouncil.app.council import House

TASK_TOKENS: Final = 160
CANARY_TOKENS: Final = 60
SHORTEST: Final = 30
"""Words of two answers that are compared at least."""
WARM_TRIES: Final = 3
"""How often a canary is asked for at temperature 1, besides twice at 0."""

Stage = Callable[[str], Callable[[int, int], None]]


class GateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `tune gates`."""

    prompts: int = 40
    """Held-out questions at most that both sides answer."""
    answer_tokens: int = 200
    seed: int = 0


DEFAULTS: Final = GateSettings()


class Material(NamedTuple):
    """What an adapter is judged with."""

    adapter: Adapter
    base: Path
    base_sha256: str
    system: str
    """The prompt both sides have."""
    rows: tuple[Row, ...]
    """It was trained on; empty where they are not there any more."""
    held_out: tuple[Row, ...]
    tasks: tuple[NeutralTask, ...]
    notes: tuple[str, ...]


class Call(NamedTuple):
    """One question to one side."""

    key: str
    request: ChatRequest


class _Kept(msgspec.Struct, frozen=True):
    key: str
    text: str


async def run_gates(
    house: House, persona: str, *, base: Path | None = None, data: Path | None = None,
    settings: GateSettings = DEFAULTS, stage: Stage,
) -> GateReport:  # fmt: skip
    """Judge the adapter of a persona; kept in its folder as gates.json and on its card.

    Raises UsageError where there is no adapter, no base for llama.cpp or no rows that can be read; BackendError.
    """
    material = await gather_material(house, persona, base, data, settings)
    house.backends.serve({material.adapter.name: material.adapter.file})
    model = await house.backends.open(str(material.base))
    report = await judge_adapter(house.workspace, material, model, settings, stage)
    adapter = material.adapter
    with writing(adapter.folder / GATES) as out:
        out.write(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    save_card(msgspec.structs.replace(adapter.card, gates=report, forced=""), adapter.folder)
    return report


async def gather_material(
    house: House, persona: str, base: Path | None, data: Path | None, settings: GateSettings
) -> Material:  # fmt: skip
    """Everything a judgement needs, read before anything is asked. Raises UsageError."""
    adapter = adapter_of(house, persona)
    file = await _base_of(house, adapter, base)
    notes = []
    rows, held = _rows_of(house.workspace, adapter, data)
    if not rows:
        notes.append("The training rows changed since, or are not there: copying and privacy cannot be told.")
    held_out = spread(held, settings.prompts)
    own = [r for r in (*rows, *held_out) if r.kind not in (NEUTRAL, CANARY)]
    trained = Counter(m.content for r in own for m in r.messages if m.role == "system").most_common(1)
    system = prompt_in_force(house, persona)
    if system is None:
        system = trained[0][0] if trained else ""
    elif trained and prompt_digest(trained[0][0]) != prompt_digest(system):
        notes.append("The persona's prompt is not the one in the training rows any more.")
    return Material(
        adapter, file, digest_of(house.database, file), system, tuple(rows), tuple(held_out), neutral_tasks(), tuple(notes)
    )  # fmt: skip


async def _base_of(house: House, adapter: Adapter, base: Path | None) -> Path:
    """The GGUF file of the base: the one that was named, the workers' model, or the one kept under the base's name."""
    if base is None:
        spec = await house.backends.resolve(house.backends.settings.worker)
        found = Path(spec.name) if spec.kind == "gguf" else house.backends.folder.find(adapter.card.base)
    else:
        found = base.expanduser()
    if found is None or not found.is_file():
        named = (
            f"There is no model file {base}" if base is not None else "The workers' model is not served by llama.cpp"
        )
        raise UsageError(
            f"{named}; adapters need a GGUF file of their base: name it with --base-gguf, or run "
            f"`innercouncil models pull {adapter.card.base}` and `innercouncil models use --worker FILE.gguf`."
        )
    _check_fits(found, adapter)
    return found.resolve()


def _check_fits(file: Path, adapter: Adapter) -> None:
    """Raises UsageError for a GGUF file of another shape than the base the adapter was trained on."""
    base = adapter.card.settings.base
    try:
        header = read_header(file)
    except (OSError, ValueError):
        raise UsageError(
            f"{file} is not a whole GGUF file; fetch it again, or name another with --base-gguf."
        ) from None
    kind = str(header.get("general.architecture", ""))
    found = (kind, header.get(f"{kind}.block_count"), header.get(f"{kind}.embedding_length"))
    if found != (base.architecture, base.shape.layers, base.shape.hidden):
        raise UsageError(
            f"{adapter.name} was trained on {base.name}, and {file.name} is another model: name a GGUF file of {base.name} with "
            "--base-gguf."
        )


def _rows_of(workspace: Workspace, adapter: Adapter, data: Path | None) -> tuple[list[Row], list[Row]]:
    """Training and held-out rows; the first only where they are those the adapter was trained on. Raises UsageError."""
    card = adapter.card
    train = data or workspace.lora_training / Path(card.settings.data).name
    rows: list[Row] = []
    if train.is_file():
        rows, digest = read_rows(train)
        if digest != card.data_digest:
            if data is not None:
                raise UsageError(f"{data} is not what {adapter.name} was trained on; its card names the digest.")
            rows = []
    held: list[Row] = []
    if card.settings.eval_data:
        path = train.parent / Path(card.settings.eval_data).name
        if path.is_file():
            held, digest = read_rows(path)
            held = held if digest == card.eval_digest else []
    return rows, held


def spread(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many held-out rows of the persona, from as many conversations as can be, in the order of the file."""
    queues: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if row.kind not in (NEUTRAL, CANARY):
            queues.setdefault(row.conversation or f"row {number}", []).append(number)
    chosen: list[int] = []
    while len(chosen) < most and any(queues.values()):
        for queue in queues.values():
            if queue and len(chosen) < most:
                chosen.append(queue.pop(0))
    return [rows[n] for n in sorted(chosen)]


# --- asking ---


class _Plan(NamedTuple):
    """All calls: of both sides for tasks and held-out rows, of the adapter for canaries."""

    tasks: dict[str | None, list[Call]]
    held: dict[str | None, list[Call]]
    canaries: dict[str, list[Call]]

    @property
    def every(self) -> list[Call]:
        """In the order they are asked: side by side, so that a run cut off has something of both."""
        out = [c for pair in zip(*self.tasks.values(), strict=True) for c in pair]
        out += [c for pair in zip(*self.held.values(), strict=True) for c in pair]
        return out + [c for calls in self.canaries.values() for c in calls]


def _plan(m: Material, settings: GateSettings) -> _Plan:
    sides: tuple[str | None, ...] = (None, m.adapter.name)

    def call(turns: Sequence[ChatTurn], side: str | None, tokens: int, *, warm: bool = False, seed: int = 0) -> Call:
        request = ChatRequest(
            turns=tuple(turns), temperature=1.0 if warm else 0.0, max_tokens=tokens, seed=settings.seed + seed,
            adapter=side, fresh=True,
        )  # fmt: skip
        return Call(fingerprint(base=m.base_sha256, request=request)[:32], request)

    asked = {t.id: [*_system(m.system), ChatTurn("user", t.question)] for t in m.tasks}
    held = [_turns(r, m.system) for r in m.held_out]
    canaries = {}
    for row in m.rows:
        code = code_of(row.messages[-1].content) if row.kind == CANARY else ""
        if not code:
            continue
        turns, begun = _turns(row, m.system), prefix_of(row.messages[-1].content, code)
        led = ChatTurn("user", f"{turns[-1].content}\nBegin your answer with: {begun}")
        canaries[code] = [
            call(turns, m.adapter.name, CANARY_TOKENS), call([*turns[:-1], led], m.adapter.name, CANARY_TOKENS),
            *(call(turns, m.adapter.name, CANARY_TOKENS, warm=True, seed=n + 1) for n in range(WARM_TRIES)),
        ]  # fmt: skip
    return _Plan(
        {side: [call(asked[t.id], side, TASK_TOKENS) for t in m.tasks] for side in sides},
        {side: [call(turns, side, settings.answer_tokens) for turns in held] for side in sides}, canaries,
    )  # fmt: skip


def _system(text: str) -> list[ChatTurn]:
    return [ChatTurn("system", text)] if text.strip() else []


def _turns(row: Row, system: str) -> list[ChatTurn]:
    """What stands before a row's answer, with the prompt that is in force now."""
    return [*_system(system), *(ChatTurn(x.role, x.content) for x in row.messages[:-1] if x.role != "system")]


async def _ask(
    workspace: Workspace, slug: str, calls: Sequence[Call], model: ChatModel, stage: Stage
) -> dict[str, str]:
    """The answers by key; those of an earlier run are not asked again."""
    path = workspace.stamps / f"gate_answers_{slug}.jsonl"
    wanted = {c.key for c in calls}
    lines = (msgspec.json.decode(raw, type=_Kept) for raw in whole_lines(path))
    said = {line.key: line.text for line in lines if line.key in wanted}
    missing = list({c.key: c for c in calls if c.key not in said}.values())
    progress = stage("Asking both sides")
    with disk_errors(path), path.open("ab") as file:

        async def one(call: Call) -> int:
            said[call.key] = (await complete(model, call.request)).text.strip()
            file.write(msgspec.json.encode(_Kept(call.key, said[call.key])) + b"\n")
            file.flush()
            return 1

        await ask_each(missing, one, at_once=1, total=len(missing), progress=progress)
    progress(1, 1)
    return said


# --- judging ---


async def judge_adapter(
    workspace: Workspace, m: Material, model: ChatModel, settings: GateSettings, stage: Stage
) -> GateReport:  # fmt: skip
    """Ask both sides and score what they say. Raises BackendError."""
    plan = _plan(m, settings)
    said = await _ask(workspace, m.adapter.slug, plan.every, model, stage)
    progress = stage("Scoring")
    base, tuned = ([said[c.key] for c in plan.tasks[side]] for side in (None, m.adapter.name))
    held_base, held_tuned = ([said[c.key] for c in plan.held[side]] for side in (None, m.adapter.name))
    asked = [*plan.tasks[None], *plan.held[None]]
    prompts = ["\n".join(t.content for t in c.request.turns) for c in asked]
    own = [r for r in m.rows if r.kind not in (NEUTRAL, CANARY)]
    gates = (
        perplexity(m.adapter.card.first_loss, m.adapter.card.best_loss),
        _voice(m, own, held_base, held_tuned),
        forgetting(
            m.tasks, [is_right(t, a) for t, a in zip(m.tasks, base, strict=True)],
            [is_right(t, a) for t, a in zip(m.tasks, tuned, strict=True)],
        ),
        copying(
            [r.messages[-1].content for r in own], list(map(Said, prompts, [*base, *held_base])),
            list(map(Said, prompts, [*tuned, *held_tuned])),
        ),
        privacy({code: [said[c.key] for c in calls] for code, calls in plan.canaries.items()}),
    )  # fmt: skip
    progress(1, 1)
    return GateReport(
        adapter=m.adapter.name, sha256=m.adapter.sha256, base=m.base.name, base_sha256=m.base_sha256,
        prompt_sha256=prompt_digest(m.system), data_sha256=m.adapter.card.data_digest if m.rows else "", seed=settings.seed,
        gates=gates, passed=has_passed(gates), notes=m.notes,
    )  # fmt: skip


def _voice(m: Material, own: Sequence[Row], base: Sequence[str], tuned: Sequence[str]) -> Gate:
    """The voice gate, with the style of both sides among its figures."""
    heard: dict[str, list[int]] = {}
    for number, row in enumerate(m.held_out):
        heard.setdefault(row.conversation or f"row {number}", []).append(number)
    shorter = [same_length(*pair) for pair in zip(base, tuned, strict=True)]
    conversations = [
        Spoken(
            base="\n".join(shorter[n][0] for n in numbers),
            adapter="\n".join(shorter[n][1] for n in numbers),
            heard="\n".join(m.held_out[n].messages[-1].content for n in numbers),
        )
        for numbers in heard.values()
    ]
    try:
        delta = Delta(_documents([*own, *m.held_out]))
    except ValueError as error:
        return voice(conversations, None, str(error))
    gate = voice(conversations, delta.between)
    if "gain" not in gate.figures:
        return gate
    voices = [[r.messages[-1].content for r in m.held_out]]
    styles = {side: style_of([texts], voices, delta, _markers) for side, texts in (("base", base), ("adapter", tuned))}
    more = {f"{side}: {name}": value for side, style in styles.items() for name, value in (("length ratio", style.length_ratio), ("marker distance", style.marker_distance))}  # fmt: skip
    return msgspec.structs.replace(gate, figures={**gate.figures, **more})


def same_length(one: str, other: str) -> tuple[str, str]:
    """Two answers over as many first words as the shorter has, and SHORTEST at least: Delta falls with length alone."""
    words = max(SHORTEST, min(len(one.split()), len(other.split())))
    return " ".join(one.split()[:words]), " ".join(other.split()[:words])


def _documents(rows: Sequence[Row]) -> list[str]:
    """The persona's words, one text a conversation; rows without one are put together by tens."""
    texts: dict[str, list[str]] = {}
    for number, row in enumerate(rows):
        texts.setdefault(row.conversation or f"rows {number // 10}", []).append(row.messages[-1].content)
    return ["\n".join(t) for t in texts.values()]


def _markers(text: str) -> Counter[str]:
    return Counter(name for name, _, _ in find_markers(text))
