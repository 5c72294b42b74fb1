"""The commands of the docs that no test executes, each with the reason; of all of them the arguments are parsed.

A rule that fits no command is an error (test_docs_commands.py), so this list cannot outlive what it is about.
"""

from __future__ import annotations

import re

from docs_commands import Command, typed

NETWORK = "needs the network"
OLLAMA = "needs Ollama with a model"
MINUTES = "takes minutes to hours"
TRAINING = "needs torch and a base model's weights"
ADAPTER = "needs a trained adapter"
POWERSHELL = "is for PowerShell; the same stands beside it for bash"
ELSEWHERE = "runs on another machine, or logs into it"

NOT_EXECUTED: list[tuple[str, str]] = [
    (r"(python -m )?pip install |embedders-venv/bin/pip ", NETWORK),
    (r"python3? -m venv ", NETWORK),
    (r"python -m uv tool install |uv sync --extra ", NETWORK),
    (r"innercouncil models pull ", NETWORK),
    (r"ollama ", OLLAMA),
    (r".* --llm ollama\b", OLLAMA),
    (r".*personas (diff|choose) ", "needs what a model wrote with `personas write`"),
    (r"pytest$", "is the whole of the tests"),
    (r"(python|embedders-venv/bin/python) benchmarks/(?!second_gold)", MINUTES),
    (r"python scripts/make_screenshots.py", "needs Chromium, and writes over pictures that are kept"),
    (r"python scripts/train_labeller.py --check", MINUTES),
    (r"innercouncil run-questions --bundled", MINUTES),
    (r"innercouncil evaluate adherence", MINUTES),
    (r"(innercouncil tune train|python scripts/train_lora.py) ", TRAINING),
    (r"innercouncil tune (gates|seat|unseat) ", ADAPTER),
    (r"innercouncil tune vllm", ADAPTER),
    (
        r"innercouncil (discover-many|plan-many) ",
        "needs the exports of many people, or a cluster; tests/app/test_discover_many.py does it",
    ),
    (r"innercouncil models use --worker http://127.0.0.1:8000/v1#Qwen", "needs vLLM"),
    (r"innercouncil ab start \w+ .*\+adapter", ADAPTER),
    (r"innercouncil tune preferences ", "needs votes of a person on the persona's answers"),
    (r"(vllm|ssh|dask|curl) ", ELSEWHERE),
    (r"innercouncil discover EXPORT --llm https://host/v1 ", ELSEWHERE),
]


def reason_against(command: Command) -> str:
    """Why a command is not executed, empty where it is."""
    if command.shell == "powershell":
        return POWERSHELL
    rule = rule_of(command)
    return rule[1] if rule else ""


def rule_of(command: Command) -> tuple[str, str] | None:
    """The rule that a command falls under."""
    return next((rule for rule in NOT_EXECUTED if re.match(rule[0], typed(command.text))), None)
