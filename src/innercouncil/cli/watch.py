"""A session in the terminal: answers side by side while they are written, then votes, tally and provenance."""

from __future__ import annotations

import sys
from typing import Final

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from innercouncil.cli.terminal import clean
from innercouncil.model.council import (
    Answer,
    AnswerDelta,
    Answered,
    Council,
    Event,
    Finished,
    Phase,
    SessionRecord,
    Started,
    SynthesisDelta,
    Synthesised,
    Tallied,
    Tally,
    Voted,
)

_LINES: Final = 6
_PHASES: Final = {
    "answers": "The workers answer", "revision": "The workers revise", "ballots": "They vote", "tally": "The votes are counted",
    "synthesis": "The synthesizer writes",
}  # fmt: skip
_PARTS: Final = {"council": "", "alone": " (baseline: the synthesizer alone)", "samples": " (baseline: plain samples)"}


class Watch:
    """Takes a session's events; use it as a context manager. The final answer goes to stdout, the rest to stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._draws = self._console.is_terminal and not quiet
        self._answer = not quiet
        self._live: Live | None = None
        self._council: Council | None = None
        self._texts: dict[int, str] = {}
        self._done: dict[int, Answer] = {}
        self._ballots = 0
        self._written = False

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc: object) -> None:
        self._end_live()
        if self._written:
            sys.stdout.write("\n")
            sys.stdout.flush()

    def event(self, event: Event) -> None:
        """Show what happened."""
        match event:
            case Started(_, council):
                self._council = council
                names = ", ".join(clean(w.name) for w in council.workers)
                self._say(f"{names} ({clean(council.worker_model)}); synthesis by {clean(council.synthesizer_model)}")
            case Phase(part, name):
                self._phase(part, name)
            case AnswerDelta("council", seat, _, text):
                self._texts[seat] = self._texts.get(seat, "") + text
                self._draw()
            case Answered(answer) if answer.part == "council":
                self._done[answer.seat] = answer
                self._answered(answer)
            case Voted(ballot) if ballot.part == "council":
                self._ballots += 1
                self._draw()
            case SynthesisDelta("council", text) if self._answer:
                self._written = True
                sys.stdout.write(clean(text))
                sys.stdout.flush()
            case Synthesised(synthesis) if synthesis.part == "council" and self._answer and not self._written:
                self._written = bool(synthesis.text)
                sys.stdout.write(clean(synthesis.text))
            case Tallied() | Finished():
                self._end_live()
            case _:
                pass

    def _phase(self, part: str, name: str) -> None:
        if self._written:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._written, self._answer = False, False
        if name == "answers" and part == "council" and self._draws:
            self._live = Live(self._picture(), console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        elif self._live is None:
            self._say(_PHASES[name] + _PARTS[part])

    def _answered(self, answer: Answer) -> None:
        if self._live is None and self._council is not None:
            name = clean(self._council.workers[answer.seat].name)
            words = f"{len(answer.text.split())} words" if answer.text else ""
            self._say(f"  {name}: " + " · ".join(x for x in (words, clean(answer.problem)) if x))
        self._draw()

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self._picture())

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            if self._council is not None:
                for seat, answer in sorted(self._done.items()):
                    name = clean(self._council.workers[seat].name)
                    self._console.print(_answer_panel(name, answer))

    def _picture(self) -> RenderableType:
        assert self._council is not None
        width = max(30, (self._console.width - 2) // min(3, len(self._council.workers)) - 1)
        panels = []
        for w in self._council.workers:
            answer = self._done.get(w.seat)
            text = clean(answer.text if answer else self._texts.get(w.seat, ""))
            tail = "\n".join(_tail(self._console, text, width - 4))
            state = "" if answer is None else " (done)" if answer.stands else f" ({answer.status})"
            panels.append(Panel(Text(tail), title=Text(clean(w.name) + state), width=width, height=_LINES + 2))
        voted = f"{self._ballots} of {len(self._council.workers)} have voted" if self._ballots else ""
        return Group(Columns(panels), Text(voted, style="dim"))

    def _say(self, text: str) -> None:
        self._console.print(Text(text, style="dim"))


def _tail(console: Console, text: str, width: int) -> list[str]:
    return [str(line) for line in Text(text[-1500:]).wrap(console, width)][-_LINES:]


def _answer_panel(name: str, answer: Answer) -> Panel:
    body = Text(clean(answer.text) or "(nothing)")
    if answer.problem:
        body.append(f"\n{clean(answer.problem)}", style="yellow")
    return Panel(body, title=Text(name), title_align="left")


def print_record(record: SessionRecord, *, final: bool = True) -> None:
    """A kept session for people: on stderr what led there, on stdout the final answer."""
    console = Console(stderr=not final, highlight=False)
    names = {w.seat: clean(w.name) for w in record.council.workers}
    if final:
        console.print(Text(clean(record.council.question), style="bold"))
        console.print(Text(f"{record.id}  {record.created_at[:16]}  {record.status}", style="dim"))
    last = {a.seat: a for a in record.answers if a.part == "council"}
    if final:
        for seat, answer in sorted(last.items()):
            console.print(_answer_panel(names[seat], answer))
    for tally in record.tallies:
        if tally.part == "council":
            console.print(_tally_table(tally, names))
            if tally.note:
                console.print(Text(clean(tally.note), style="dim"))
    for ballot in record.ballots:
        if ballot.part == "council" and ballot.abstained:
            console.print(Text(f"{names[ballot.voter]} abstained: {clean(ballot.abstained)}", style="dim"))
    if final and record.final:
        console.print(Panel(Text(clean(record.final)), title="The council's answer", title_align="left"))
    _print_sources(console, record, names)
    for part, title in (
        ("alone", "The synthesizer alone"),
        ("samples", "Plain samples of the worker model, same synthesis"),
    ):
        for synthesis in record.syntheses:
            if synthesis.part == part:
                console.print(Panel(Text(clean(synthesis.text)), title=f"Baseline: {title}", title_align="left"))
    console.print(Text(f"innercouncil sessions show {record.id[:8]}", style="dim"))


def _tally_table(tally: Tally, names: dict[int, str]) -> Table:
    table = Table(box=None, header_style="bold")
    for title in ("place", "answer of", "score", "first on", "choice"):
        if title != "choice" or tally.choices:
            table.add_column(title, justify="left" if title in ("answer of", "choice") else "right")
    for s in tally.standings:
        mark = " (dissent)" if s.seat == tally.dissent and s.seat not in tally.winners else ""
        row = [str(s.place), names[s.seat] + mark, f"{s.score:.2f}", f"{s.firsts} of {s.ballots}"]
        table.add_row(*map(Text, row), *([Text(clean(s.choice or ""))] if tally.choices else []))
    return table


def _print_sources(console: Console, record: SessionRecord, names: dict[int, str]) -> None:
    for synthesis in record.syntheses:
        if synthesis.part != "council":
            continue
        if synthesis.problem:
            console.print(Text(f"The final answer: {clean(synthesis.problem)}", style="yellow"))
        if synthesis.sources:
            console.print(Text("Where it comes from:", style="bold"))
        for source in synthesis.sources:
            who = ", ".join(names.get(s, "?") for s in source.seats) or "added by the synthesizer"
            words = clean(" ".join(source.text.split()))
            console.print(Text(f"  {words[:90]}{'…' if len(words) > 90 else ''}  ") + Text(f"[{who}]", style="cyan"))
