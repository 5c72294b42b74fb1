"""`innercouncil evaluate adherence`: do personas keep to their prompts?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from innercouncil.app.helper_model import Price, synthesizer_model, worker_model
from innercouncil.cli.helper import LLM_OPTIONS, Choice, chosen_model
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, print_json
from innercouncil.model.adherence import AdherenceReport, Checklist, Drift, PersonaAdherence, StyleMeasure
from innercouncil.model.errors import UsageError
from innercouncil.model.similarity import Estimated
from innercouncil.store.workspace import Workspace


@click.command(
    epilog="Example: innercouncil evaluate adherence --personas software-builder,story-writer --conversations 6"
)
@with_options(
    WORKSPACE, JSON,
    click.option("--questions", type=click.IntRange(5, 60), default=12, show_default=True, help="Bundled questions each persona answers."),
    click.option("--samples", type=click.IntRange(1, 20), default=1, show_default=True, help="How often each is answered."),
    click.option("--turns", type=click.IntRange(2, 24), default=8, show_default=True, help="Follow-ups of a long conversation, after its opening."),
    click.option("--conversations", type=click.IntRange(0, 24), default=3, show_default=True, help="Long conversations a persona; 0 for none. 3 show a strong fading only, 6 and more a moderate one."),
    click.option("--personas", metavar="A,B", help="Whom to look at, as slugs (default: all enabled personas)."),
    click.option("--judge", metavar="WHERE", help="Where the judge runs: ollama, embedded, anthropic, or a URL (default: the council's synthesizer)."),
    click.option("--judge-model", metavar="NAME", help="Which model there."),
    click.option("--judge-price", type=(float, float), metavar="READ WRITE", callback=lambda _c, _p, v: Price(*v) if v else None, help="Price of a million tokens the judge reads and writes."),
    click.option("--no-judge", is_flag=True, help="Let nobody judge: tell what can be counted, and style."),
    *LLM_OPTIONS,
)  # fmt: skip
def adherence(
    workspace: Path, as_json: bool, questions: int, samples: int, turns: int, conversations: int, personas: str | None,
    judge: str | None, judge_model: str | None, judge_price: Price | None, no_judge: bool, llm: str | None,
    llm_model: str | None, yes: bool, llm_price: Price | None,
) -> None:  # fmt: skip
    """Measure whether personas keep to what their prompts say, and whether they still do late in a conversation.

    A checklist is drawn from every prompt and kept in adherence_checklists.json, where you may edit it. The personas answer
    bundled questions, and so does the model without persona, as the control; a judge says which items hold. Without --llm
    the council's worker model speaks, without --judge its synthesizer judges. Cut off, it goes on where it was.
    """
    from innercouncil.app.evaluate_adherence import evaluate_adherence

    if no_judge and (judge or judge_model):
        raise UsageError("--no-judge and --judge exclude each other; leave one out.")
    if judge_model and not judge:
        raise UsageError("--judge-model needs --judge, which says where the judge runs.")
    ws = Workspace(workspace)
    seats = [s.strip() for s in personas.split(",") if s.strip()] if personas is not None else None
    with StageProgress() as watcher:

        def stage(title: str) -> Callable[[int, int], None]:
            return watcher.stage(title, done=False)

        def shows(lists: Sequence[Checklist]) -> None:
            with watcher.paused():
                _show(lists, ws.adherence_checklists)

        speaker = chosen_model(Choice(llm, llm_model, yes, llm_price), ws, watcher, otherwise=lambda: worker_model(ws))
        judging = chosen_model(Choice(judge, judge_model, yes, judge_price), ws, watcher, otherwise=lambda: synthesizer_model(ws))  # fmt: skip
        with speaker as model, nullcontext() if no_judge else judging as judged:
            assert model is not None
            report = evaluate_adherence(
                ws, model=model, judge=judged, personas=seats, questions=questions, samples=samples, turns=turns,
                conversations=conversations, stage=stage, shows=shows,
            )  # fmt: skip
    if as_json:
        print_json(report)
    else:
        _print(Console(), report)


def _show(lists: Sequence[Checklist], path: Path) -> None:
    """The checklists on stderr, before anything is asked."""
    for x in lists:
        click.echo(f"{clean(x.persona)} is held to:", err=True)
        for item in x.items:
            place = f" (line {item.number})" if item.number else " (yours)"
            click.echo(f"  - {clean(item.question)}{place}", err=True)
    click.echo(f"Edit them in {path}.", err=True)


def _print(console: Console, r: AdherenceReport) -> None:
    console.print(
        Text(
            f"{clean(r.model)} answered {r.questions} questions as every persona and without. In brackets: 95% intervals."
        )
    )
    if r.judge:
        told = f"{clean(r.judge.model)}, {r.judge.judged} answers judged, {r.judge.unjudged} not. {r.judge.words}"
        console.print(Text(told, style="" if r.judge.usable else "bold"))
    for p in r.personas:
        console.print()
        console.print(Text(clean(p.words), style="bold"))
        console.print(_items(p))
        for s in p.style:
            console.print(Text(_style(s)))
        if p.drift:
            console.print(Text(_drift(p.drift)))
    console.print()
    for note in r.notes:
        console.print(Text(clean(note), style="dim"))


def _items(p: PersonaAdherence) -> Table:
    table = Table(box=None, header_style="bold")
    for title in ("item", "persona", "control", "difference", "verdict"):
        table.add_column(title)
    for i in p.items:
        cells = (
            clean(i.line or i.question),
            _percent(i.persona),
            _percent(i.control),
            _points(i.difference),
            i.verdict,
        )
        table.add_row(*map(Text, cells))
    if len(p.items) > 1:
        table.add_row(*map(Text, ("all", _percent(p.kept), _percent(p.control), _points(p.difference), p.verdict)))
    return table


def _style(s: StyleMeasure) -> str:
    voice = f", your own words {s.voice:.2f}" if s.voice is not None else ""
    gain = f"; nearer to you by {s.gain.value:.2f} ({s.gain.low:.2f} to {s.gain.high:.2f})" if s.gain else ""
    return f"{_STYLES[s.name]}: {s.persona:.2f}, control {s.control:.2f}{voice}{gain}: {s.verdict}"


def _drift(d: Drift) -> str:
    change = (
        f" Change {_points(d.change)} points, late less early, {d.conversations} conversations." if d.change else ""
    )
    by_turn = " ".join("–" if t.kept is None else f"{100 * t.kept:.0f}" for t in d.by_turn)
    return f"{clean(d.words)}{change} Turn by turn, in %: {by_turn}."


def _percent(e: Estimated | None) -> str:
    return f"{100 * e.value:.0f}% ({100 * e.low:.0f} to {100 * e.high:.0f})" if e else "–"


def _points(e: Estimated | None) -> str:
    return f"{100 * e.value:+.0f} ({100 * e.low:+.0f} to {100 * e.high:+.0f})" if e else "–"


_STYLES = {
    "sentence length": "words a sentence", "question rate": "share of questions",
    "function words": "match of function words, 1 is the same", "frequent words": "Delta of frequent words, 0 is the same",
}  # fmt: skip
