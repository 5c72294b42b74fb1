"""The commands that stand in README.md and docs/, in the order a reader meets them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
SHELLS = ("bash", "powershell", "console", "sh")
PROGRAMS = (
    "innercouncil", "uv", "python", "python3", "pip", "pytest", "ollama", "vllm", "llama-server", "ssh", "scp", "tar", "rm", "cp", "mkdir",
    "git", "curl", "Remove-Item", "Get-Content", "Expand-Archive", "embedders-venv/bin/pip", "embedders-venv/bin/python",
)  # fmt: skip
"""What a line of a command block may begin with."""
INLINE_RE = re.compile(r"`((?:innercouncil|uv run|python|pytest) [^`\n]+)`")
CODE_RE = re.compile(r"#.*\bexit code (\d+)")


class Command(NamedTuple):
    """One command as it is typed, or a change that the page says is to be made (`shell` is then diff)."""

    page: str
    line: int
    shell: str
    text: str
    code: int = 0
    """The exit code that the comment beside it tells."""
    says: tuple[str, ...] = ()
    """Lines that the page shows as its output."""


class Block(NamedTuple):
    """A fenced block."""

    line: int
    language: str
    lines: list[str]


def pages() -> list[str]:
    """README.md and every page of docs/."""
    return ["README.md", *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md"))]


def blocks(page: str) -> list[Block]:
    """Every fenced block of a page, also those inside lists."""
    found: list[Block] = []
    open_: Block | None = None
    indent = 0
    for number, raw in enumerate((ROOT / page).read_text("utf-8").splitlines(), 1):
        if raw.lstrip().startswith("```"):
            if open_ is None:
                indent = len(raw) - len(raw.lstrip())
                open_ = Block(number, raw.strip()[3:], [])
            else:
                found.append(open_)
                open_ = None
        elif open_ is not None:
            open_.lines.append(raw[indent:])
    assert open_ is None, f"{page}: a fence is not closed"
    return found


def commands(page: str) -> list[Command]:
    """The commands of a page; output shown below a block belongs to its last command."""
    found: list[Command] = []
    for block in blocks(page):
        if block.language == "output":
            assert found, f"{page}, line {block.line}: output without a command"
            found[-1] = found[-1]._replace(says=tuple(filter(None, block.lines)))
        elif block.language == "diff":
            found.append(Command(page, block.line, "diff", "\n".join(block.lines) + "\n"))
        elif block.language in SHELLS or (not block.language and _begins_with_a_command(block)):
            found += _of(page, block)
    return found


def inline(page: str) -> list[Command]:
    """Commands in running text; they may be incomplete."""
    text = (ROOT / page).read_text("utf-8")
    return [Command(page, text[: m.start()].count("\n") + 1, "inline", m[1]) for m in INLINE_RE.finditer(text)]


def _begins_with_a_command(block: Block) -> bool:
    first = next(filter(None, block.lines), "")
    return first.split(" ")[0] in PROGRAMS


def _of(page: str, block: Block) -> list[Command]:
    found: list[Command] = []
    whole = "\n".join(block.lines).replace("\\\n", "")
    for number, line in enumerate(whole.split("\n"), block.line + 1):
        told = CODE_RE.search(line)
        for text in _simple(line):
            program = text.split(" ")[0]
            assert program in PROGRAMS, f"{page}, line {number}: {program!r} is no command this test knows"
            found.append(Command(page, number, block.language or "bash", text, int(told[1]) if told else 0))
    return found


def _simple(line: str) -> list[str]:
    """The commands of a line without its comment, parted at `;` and `&&` outside quotes."""
    parts, quote = [""], ""
    for i, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "#" and (i == 0 or line[i - 1].isspace()):
            break
        elif sign == ";" or line[i : i + 2] == "&&":
            parts.append("")
            continue
        elif sign == "&":
            continue
        parts[-1] += sign
    return [p.strip() for p in parts if p.strip()]


def typed(text: str) -> str:
    """The command without `uv run` in front, which means: in this project's environment. It is the one that tests."""
    return re.sub(r"^(?:python3? -m uv|uv) run (?:--group \w+ |--no-dev )?", "", text)
