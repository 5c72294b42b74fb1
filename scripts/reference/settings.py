"""The page of settings: every option with its one default, and the environment variables."""

from __future__ import annotations

import ast
from pathlib import Path

import innercouncil
from innercouncil.app.backends import HOST_VARIABLES, KEY_VARIABLE
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.settings import PROFILES, Settings
from innercouncil.app.tune_gates import GateSettings
from innercouncil.app.tune_prepare import PrepareSettings
from innercouncil.model.ab import AbOptions
from innercouncil.model.council import CouncilOptions
from innercouncil.model.training import Wish
from reference.structs import options

HEAD = """# Settings

There is no settings file. What a run is told stands on its command line; what a workspace remembers (its models, and the
hosts it may talk to) lies in `council.db` and is changed with `innercouncil models`.
"""
TABLES = (
    ("discover", "The options of `innercouncil discover`.", Settings),
    ("The council's models", "Kept in the workspace; `innercouncil models use` and the page Models change them.", CouncilSettings),
    ("A session", "`innercouncil ask --option NAME=VALUE`, `innercouncil run-questions --option NAME=VALUE`, and `options` in the HTTP API.", CouncilOptions),
    ("An A/B test", "`innercouncil ab start`.", AbOptions),
    ("Training rows", "`innercouncil tune prepare`.", PrepareSettings),
    ("A training", "`innercouncil tune check` and `innercouncil tune train`; what is null is settled by the plan.", Wish),
    ("Gates", "`innercouncil tune gates`.", GateSettings),
)  # fmt: skip
VARIABLES = {
    "INNERCOUNCIL_MODELS": "folder of the models fetched for the built-in llama.cpp; by default `models` in the workspace",
    "INNERCOUNCIL_REGISTRY": "address of a mirror of Ollama's registry that `innercouncil models pull` fetches from",
    "INNERCOUNCIL_API_KEY": "key for every host that has none of its own in the keyring, and for servers on this machine",
    "ANTHROPIC_API_KEY": "key for api.anthropic.com, and for no other host",
    "OPENAI_API_KEY": "key for api.openai.com, and for no other host",
    "OLLAMA_HOST": "where Ollama listens, as Ollama itself reads it; by default 127.0.0.1:11434",
    "OLLAMA_MODELS": "folder where Ollama keeps its models, which are found there also while it does not run",
    "HF_HOME": "cache of published weights that `innercouncil tune` looks into",
    "HF_HUB_CACHE": "the same, as huggingface_hub reads it",
}
"""Environment variables that the code reads; `read_variables` finds them, and a test holds both together."""


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    parts += [f"## {title}\n\n{about}\n\n{options(struct)}\n" for title, about, struct in TABLES]
    parts.append("## What `--mode` stands for\n\nLimits of `discover` by memory:\n\n" + _profiles() + "\n")
    parts.append("## Environment variables\n\n| name | what it is |\n|---|---|")
    parts[-1] += "".join(f"\n| `{name}` | {about} |" for name, about in VARIABLES.items()) + "\n"
    return "\n".join(parts)


def _profiles() -> str:
    rows = [
        "| mode | processes | messages at a time | messages the number of modes is judged on |",
        "|---|---|---|---|",
    ]
    rows += [f"| `{mode}` | {p.workers} | {p.batch} | {p.sample} |" for mode, p in PROFILES.items()]
    return "\n".join(rows)


def read_variables() -> set[str]:
    """Names of the environment variables that the package reads."""
    found = {KEY_VARIABLE, *HOST_VARIABLES.values()}
    for file in Path(innercouncil.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            key = _key(node)
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                found.add(key.value)
    return found


def _key(node: ast.AST) -> ast.expr | None:
    """The name in `os.environ[name]`, `os.environ.get(name)` and `os.getenv(name)`, where something is read."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ" and isinstance(node.ctx, ast.Load):
        return node.slice
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv"):
        return node.args[0]
    return None
