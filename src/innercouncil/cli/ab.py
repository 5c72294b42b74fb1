"""`innercouncil ab …`: two variants against each other, blind, with a verdict that may be looked at any time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from innercouncil.cli.given import GivenPath, given_text
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.terminal import asking, clean, in_house, print_json
from innercouncil.model.ab import AbOptions, Choice, Trial
from innercouncil.model.errors import UsageError

if TYPE_CHECKING:
    from innercouncil.app.ab_tests import Report, VariantSpec
    from innercouncil.app.council import House

_NAME = click.argument("name")
_FILE = GivenPath(exists=True, dir_okay=False)
_KEYS: dict[str, Choice | None] = {"1": "first", "2": "second", "t": "tie", "q": None}


@click.group(epilog="Example: innercouncil ab start shorter --a software-builder@1 --b software-builder")
def ab() -> None:
    """Test two variants against each other: blind, order balanced, and safe to look at after every vote."""


@ab.command(
    epilog="Example: innercouncil ab start shorter --a software-builder@1 --b-file edited.md --questions mine.txt"
)
@_NAME
@with_options(
    click.option("--a", metavar="SLUG[@VERSION][+adapter]", default="", help="Side A: a persona's prompt, the newest version or the given one; with +adapter it speaks with its adapter too."),
    click.option("--b", metavar="SLUG[@VERSION][+adapter]", default="", help="Side B."),
    click.option("--a-file", type=_FILE, help="Side A: a file with the text of a prompt."),
    click.option("--b-file", type=_FILE, help="Side B: a file with the text of a prompt."),
    click.option("--a-council", metavar="A,B", default="", help="Side A: a line-up, which answers as a council."),
    click.option("--b-council", metavar="A,B,C", default="", help="Side B: a line-up."),
    click.option("--a-adapter", default="", metavar="SLUG", help="Side A: a persona with its adapter; the same as --a SLUG+adapter."),
    click.option("--b-adapter", default="", metavar="SLUG", help="Side B: a persona with its adapter."),
    click.option("--questions", type=_FILE, help="One question a line, or JSONL with `question` (default: the bundled ones)."),
    click.option("--alpha", type=float, default=AbOptions().alpha, show_default=True, help="Chance of a wrong winner, however often you look."),
    click.option("--max-votes", type=int, default=AbOptions().max_votes, show_default=True, help="Give up after so many decisive votes."),
    click.option("--equal", type=float, default=AbOptions().equal, show_default=True, help="Win rates this near a half are practically equal."),
    click.option("--answer-tokens", type=int, default=AbOptions().answer_tokens, show_default=True, help="Most tokens of an answer."),
    click.option("--seed", type=int, default=AbOptions().seed, show_default=True, help="Of the sides' order and of the model's sampling."),
    WORKSPACE,
    JSON,
)  # fmt: skip
def start(
    name: str, a: str, b: str, a_file: Path | None, b_file: Path | None, a_council: str, b_council: str, a_adapter: str,
    b_adapter: str, questions: Path | None, alpha: float, max_votes: int, equal: float, answer_tokens: int, seed: int,
    workspace: Path, as_json: bool,
) -> None:  # fmt: skip
    """Begin the test NAME of side A against side B; both answer with the council's worker model."""
    options = AbOptions(
        alpha=alpha, max_votes=max_votes, equal=equal, answer_tokens=answer_tokens, seed=seed
    )  # fmt: skip

    async def work(house: House) -> None:
        from innercouncil.app import ab_tests

        asked = ab_tests.questions_file(questions) if questions else ab_tests.bundled_questions()
        if not asked:
            raise UsageError("There are no questions; give a file with --questions, one question a line.")
        sides = _spec(a, a_file, a_council, a_adapter), _spec(b, b_file, b_council, b_adapter)
        ab_tests.start_test(house, name, *sides, asked, options)
        _show(ab_tests.report(house, name), as_json=as_json)
        click.echo(f"Vote with: innercouncil ab vote {name}", err=True)

    in_house(workspace, work)


@ab.command(epilog="Example: innercouncil ab vote shorter")
@_NAME
@click.option("--choice", type=click.Choice(["first", "second", "tie"]), help="Vote on the open question, for scripts.")
@click.option("--question", help="Ask this question next.")
@click.option("--questions", type=_FILE, help="Add the questions of a file.")
@WORKSPACE
@JSON
def vote(
    name: str, choice: Choice | None, question: str | None, questions: Path | None, workspace: Path, as_json: bool
) -> None:
    """Vote in the test NAME: read a question and two answers, choose without knowing whose they are.

    With --json the open question is printed, or with --choice the vote is kept, and nothing is asked.
    """

    async def work(house: House) -> None:
        from innercouncil.app import ab_tests

        if questions is not None:
            ab_tests.add_questions(house, name, ab_tests.questions_file(questions))
        if question is not None:
            ab_tests.add_questions(house, name, [question], next_one=True)
        if choice is not None:
            waiting = ab_tests.open_trial(house, name)
            if waiting is None:
                raise UsageError(
                    f"No question of {name!r} waits for a vote; `ab vote {name} --json` asks the next one."
                )
            ab_tests.vote(house, name, waiting.number, choice)
            click.echo(f"Kept: question {waiting.number}.", err=True)
        elif as_json:
            print_json(_blind(await ab_tests.next_trial(house, name)))
        else:
            await _vote_on(house, name)

    in_house(workspace, work)


async def _vote_on(house: House, name: str) -> None:
    """Ask for one vote after the other until the person leaves or the test is over."""
    from innercouncil.app import ab_tests

    if not sys.stdin.isatty():
        raise UsageError("This asks for votes in a terminal; in a script use --json and --choice.")
    while True:
        click.echo("Both sides answer …", err=True)
        trial = await ab_tests.next_trial(house, name)
        first, second = trial.shown
        click.echo(f"\nQuestion {trial.number}: {clean(trial.question)}")
        click.echo(f"\n--- Answer 1 ---\n{clean(first.text)}\n\n--- Answer 2 ---\n{clean(second.text)}\n")
        with asking():
            key = click.prompt("Which is better? 1, 2, t (tie) or q (leave)", type=click.Choice(list(_KEYS)))
        choice = _KEYS[key]
        if choice is None:
            return
        ab_tests.vote(house, name, trial.number, choice)
        found = ab_tests.report(house, name)
        if found.verdict.state != "open":
            click.echo(found.words)
            return
        if found.asked == len(found.test.questions):
            click.echo(f"{found.words} All questions are asked; add some with --questions.")
            return


@ab.command(epilog="Example: innercouncil ab status shorter --json")
@click.argument("name", required=False)
@WORKSPACE
@JSON
def status(name: str | None, workspace: Path, as_json: bool) -> None:
    """Show where the test NAME stands, or the newest one: verdict, evidence, votes, power and cost."""

    async def work(house: House) -> None:
        from innercouncil.app import ab_tests
        from innercouncil.store.ab_tests import AbStore

        known = [t.name for t in AbStore(house.database).all()]
        if name is None and not known:
            raise UsageError("There is no A/B test yet; `innercouncil ab start` begins one.")
        _show(ab_tests.report(house, name or known[0]), as_json=as_json)

    in_house(workspace, work)


@ab.command("list", epilog="Example: innercouncil ab list")
@WORKSPACE
@JSON
def list_(workspace: Path, as_json: bool) -> None:
    """List all tests, newest first."""

    async def work(house: House) -> None:
        from innercouncil.app import ab_tests
        from innercouncil.store.ab_tests import AbStore

        reports = [ab_tests.report(house, t.name) for t in AbStore(house.database).all()]
        if as_json:
            print_json(
                [
                    {"name": r.test.name, "made_at": r.test.made_at, "state": r.verdict.state, "words": r.words}
                    for r in reports
                ]
            )
            return
        for r in reports:
            click.echo(f"{r.test.name}  {r.test.made_at[:10]}  {clean(r.words)}")

    in_house(workspace, work)


@ab.command(epilog="Example: innercouncil ab stop shorter")
@_NAME
@WORKSPACE
@JSON
def stop(name: str, workspace: Path, as_json: bool) -> None:
    """Stop the test NAME; its votes are kept and no more are taken."""

    async def work(house: House) -> None:
        from innercouncil.app import ab_tests
        from innercouncil.store.ab_tests import AbStore

        AbStore(house.database).stop(name)
        _show(ab_tests.report(house, name), as_json=as_json)

    in_house(workspace, work)


@ab.command(epilog="Example: innercouncil ab delete shorter")
@_NAME
@WORKSPACE
def delete(name: str, workspace: Path) -> None:
    """Delete the test NAME with its questions, answers and votes."""

    async def work(house: House) -> None:
        from innercouncil.store.ab_tests import AbStore

        AbStore(house.database).delete(name)
        click.echo(f"Deleted {name}.", err=True)

    in_house(workspace, work)


def _spec(slug: str, file: Path | None, council: str, adapter: str) -> VariantSpec:
    from innercouncil.app.ab_tests import VariantSpec

    text = ""
    if file is not None:
        text = given_text(file)
        if not text.strip():
            raise UsageError(f"{file} is empty; write at least one line.")
    return VariantSpec(
        persona=slug, system=text, name=file.name if file else "", adapter=adapter,
        council=tuple(s.strip() for s in council.split(",") if s.strip()),
    )  # fmt: skip


def _blind(trial: Trial) -> dict[str, object]:
    """What a voter may see."""
    first, second = trial.shown
    return {"number": trial.number, "question": trial.question, "answers": [first.text, second.text]}


def _show(report: Report, *, as_json: bool) -> None:
    from innercouncil.cli.ab_status import status_data, status_lines

    if as_json:
        print_json(status_data(report))
    else:
        click.echo(clean("\n".join(status_lines(report))))
