"""`innercouncil worth`: is the council's answer better than the model alone, and is it worth what it costs?"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from innercouncil.app.helper_model import Price
from innercouncil.cli.helper import LLM_OPTIONS, Choice, chosen_model
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, print_json
from innercouncil.model.errors import UsageError
from innercouncil.model.worth import Worth, WorthTrial
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace

PARTS = {"council": "the council", "alone": "the synthesizer alone", "samples": "plain samples"}


@click.group(epilog="Example: innercouncil worth show")
def worth() -> None:
    """Was the council worth it? Its answers against the model alone, judged blindly; it can say no.

    Ask with `innercouncil ask --baseline`, judge with `worth vote` or `worth judge`, look with `worth show`.
    """


@worth.command(epilog="Example: innercouncil worth show --json")
@WORKSPACE
@JSON
def show(workspace: Path, as_json: bool) -> None:
    """Show what the blind judgements come to, and what the council costs in time and tokens."""
    from innercouncil.app.worth import meter

    database = _open(workspace)
    try:
        found = meter(database)
    finally:
        database.close()
    if as_json:
        print_json(found)
    else:
        _print(Console(), found)


@worth.command(epilog="Example: innercouncil worth vote")
@click.option("--session", default="", help="Judge this one (id, or its beginning).")
@click.option(
    "--ranking",
    default="",
    metavar="RANKING",
    help='Your ranking without being asked: "2>1=3" puts 2 first, 1 and 3 alike.',
)
@WORKSPACE
@JSON
def vote(workspace: Path, session: str, ranking: str, as_json: bool) -> None:
    """Judge final answers blindly, session by session. With --json the open one is printed, still blind."""
    from innercouncil.app.worth import open_trials, trial
    from innercouncil.app.worth import vote as keep

    database = _open(workspace)
    try:
        waiting = [trial(database, SessionStore(database).find(session))] if session else open_trials(database)
        if as_json and not ranking:
            print_json({"waiting": len(waiting), "trial": waiting[0] if waiting else None})
            return
        if not waiting:
            click.echo("Nothing waits for your judgement: ask with `innercouncil ask --baseline`.", err=True)
            return
        if not ranking and not sys.stdin.isatty():
            raise UsageError(
                'Judging needs a terminal; in a script use --json to see the open one and --ranking "2>1" to judge it.'
            )
        for one in waiting[:1] if ranking else waiting:
            said = ranking or _asked(one)
            if said in ("q", ""):
                break
            if said != "s":
                keep(database, one.session, read_ranking(said, len(one.answers)))
                click.echo("Kept.", err=True)
    finally:
        database.close()


@worth.command(epilog="Example: innercouncil worth judge --llm ollama --llm-model qwen2.5:7b")
@with_options(WORKSPACE, JSON, *LLM_OPTIONS)
def judge(
    workspace: Path, as_json: bool, llm: str | None, llm_model: str | None, yes: bool, llm_price: Price | None
) -> None:
    """Let a model judge blindly, each pair in both orders; better not the one that wrote the answers."""
    from innercouncil.app.worth import judge_sessions

    ws = Workspace(workspace)
    database = _open(workspace)
    try:
        with StageProgress() as watcher, chosen_model(Choice(llm, llm_model, yes, llm_price), ws, watcher) as model:
            if model is None:
                raise UsageError("Say which model is to judge: add --llm ollama, embedded, anthropic or a URL.")
            found = judge_sessions(database, model, watcher.stage("Judging", done=False))
    finally:
        database.close()
    if as_json:
        print_json(found)
        return
    click.echo(
        f"{clean(found.judge)} judged {found.sessions} sessions; {found.turned} pairs went by their order and count as alike, "
        f"{found.unanswered} got no valid answer."
    )


def read_ranking(text: str, count: int) -> list[list[int]]:
    """Numbers from 0, best tier first, of what a person typed. Raises UsageError.

    >>> read_ranking("2>1=3", 3)
    [[1], [0, 2]]
    >>> read_ranking("2", 2)
    [[1], [0]]
    """
    if not re.fullmatch(r"\s*\d+(\s*[>=]\s*\d+)*\s*", text):
        raise UsageError(f'{clean(text)[:40]!r} is no ranking; write for example "2>1=3".')
    tiers = [[int(n) - 1 for n in tier.split("=")] for tier in text.split(">")]
    named = {n for tier in tiers for n in tier}
    if len(named) == 1 and count > 1 and named <= set(range(count)):
        tiers.append([n for n in range(count) if n not in named])
    return tiers


def _open(workspace: Path) -> Database:
    ws = Workspace(workspace)
    if not ws.database.exists():
        raise UsageError(f"There are no sessions in {ws.root} yet; ask something with `innercouncil ask --baseline`.")
    return Database(ws.database)


def _asked(one: WorthTrial) -> str:
    console = Console()
    console.rule()
    console.print(Text(clean(one.question), style="bold"))
    for n, text in enumerate(one.answers, 1):
        console.rule(f"{n}", style="dim")
        # A link would lie over the answer's words, and show nothing of where it leads.
        console.print(Markdown(clean(text), hyperlinks=False))
    while True:
        said = str(
            click.prompt(f'Best first, e.g. "2>1"; "=" for alike, s skips, q ends (1 to {len(one.answers)})', err=True)
        )
        if said in ("s", "q"):
            return said
        try:
            tiers = read_ranking(said, len(one.answers))
            if sorted(n for t in tiers for n in t) == list(range(len(one.answers))):
                return said
        except UsageError as error:
            click.echo(clean(str(error)), err=True)
            continue
        click.echo("Name every answer once.", err=True)


def _print(console: Console, w: Worth) -> None:
    console.print(Text(w.words, style="bold"))
    for c in w.contests:
        who = "You" if c.judge == "person" else "Models"
        decided = c.wins + c.losses
        share = (
            f"preferred in {c.share:.0%} ({c.low:.0%} to {c.high:.0%}) of {decided} decided"
            if decided
            else "none decided"
        )
        told = f"{who}, against {PARTS[c.baseline]}: {share}, {c.ties} alike; {c.basis}; evidence {c.evidence:.2g}: {c.verdict}"
        console.print(Text(told))
    if w.contests:
        console.print(Text("Intervals hold, and evidence of 20 is enough, whenever you look.", style="dim"))
    if w.costs:
        base = next((c for c in w.costs if c.part == "alone"), w.costs[0])
        for cost in w.costs:
            times = (
                f", {cost.seconds / base.seconds:.1f} times {PARTS[base.part]}"
                if cost is not base and base.seconds
                else ""
            )
            told = f"{PARTS[cost.part]}: {cost.seconds:.1f} s, {cost.tokens:.0f} tokens a question{times} (mean of {cost.sessions})"
            console.print(Text(told))
    console.print(
        Text(
            f"{w.sessions} session{'s' if w.sessions != 1 else ''} with a baseline, "
            f"{w.waiting} wait{'s' if w.waiting == 1 else ''} for your judgement"
            f"{': `innercouncil worth vote`' if w.waiting else ''}.",
            style="dim",
        )
    )
    for note in w.notes:
        console.print(Text(note, style="dim"))
