"""The state of an A/B test for a terminal and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from innercouncil.model.ab import Cost, Need

if TYPE_CHECKING:
    from innercouncil.app.ab_tests import Report


def status_data(report: Report) -> dict[str, Any]:
    """The report as JSON; questions and prompts are left out."""
    test = report.test
    return {
        "name": test.name, "made_at": test.made_at, "stopped_at": test.stopped_at, "words": report.words,
        "a": {"kind": test.a.kind, "name": test.a.name, "cost": msgspec.to_builtins(report.cost_a)},
        "b": {"kind": test.b.kind, "name": test.b.name, "cost": msgspec.to_builtins(report.cost_b)},
        "model": report.model, "options": msgspec.to_builtins(test.options),
        "verdict": msgspec.to_builtins(report.verdict), "power": msgspec.to_builtins(report.power),
        "open_trial": report.open_trial, "asked": report.asked, "questions": len(test.questions),
        "orders": list(report.orders),
    }  # fmt: skip


def status_lines(report: Report) -> list[str]:
    """The report as lines for a person."""
    test, verdict = report.test, report.verdict
    lines = [
        f"{test.name}: A = {test.a.name}, B = {test.b.name}, model {report.model}",
        report.words,
        f"Votes: A {verdict.a_wins}, B {verdict.b_wins}, ties {verdict.ties} (not counted); e-value {verdict.e_value:.2f}, "
        f"enough at {1 / test.options.alpha:.0f}",
        f"B wins {verdict.low:.0%} to {verdict.high:.0%} of votes ({1 - test.options.alpha:.0%} at every look together)",
        f"Questions asked: {report.asked} of {len(test.questions)}"
        + (f"; question {report.open_trial} waits for a vote" if report.open_trial else ""),
    ]
    if verdict.state == "open" and test.stopped_at is None:
        lines += ["Votes it takes (looked at once: the ordinary test, power 80%):", *map(_power_line, report.power)]
    lines += [_cost_line("A", report.cost_a), _cost_line("B", report.cost_b)] if report.asked else []
    return lines


def _power_line(need: Need) -> str:
    median = need.median if need.median is not None else "over 3000"
    most = need.most if need.most is not None else "over 3000"
    return f"  {need.win_rate:.0%} prefer one: median {median}, 80% of tests by {most}; looked at once {need.fixed}"


def _cost_line(side: str, cost: Cost) -> str:
    parts = [f"{cost.milliseconds} ms" if cost.milliseconds is not None else ""]
    parts += [f"{cost.prompt_tokens} + {cost.answer_tokens} tokens" if cost.answer_tokens is not None else ""]
    parts += [f"{cost.memory_estimate / 2**30:.2f} GiB by arithmetic" if cost.memory_estimate is not None else ""]
    parts += [f"{cost.resident / 2**30:.2f} GiB held by llama.cpp" if cost.resident is not None else ""]
    return f"Cost of {side}, median: " + ", ".join(p for p in parts if p)
