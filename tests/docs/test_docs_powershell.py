"""PowerShell blocks, read by PowerShell's grammar; and commands of other blocks that only a Unix shell would take have one beside them."""

from __future__ import annotations

import re

import pytest
import tree_sitter
import tree_sitter_powershell
from docs_commands import Block, blocks, pages

GRAMMAR = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
UNIX_RE = re.compile(r" < \S| && |\\$|^(?:export )?[A-Z_]+=|^rm -|^python .* ~/")
"""What only a Unix shell takes; a `~` in a path for innercouncil itself is none of it (cli/given.py)."""
UNIX_PAGES = {"docs/discovery.md": "torch's environment for a benchmark"}
"""Pages with such commands that need no PowerShell beside them."""

BLOCKS = [(page, block) for page in pages() for block in blocks(page) if block.language == "powershell"]


def problem_of(text: str) -> str:
    """What PowerShell would not take, empty where it takes all."""
    if re.search(r" < |&&|\\$", text, re.MULTILINE):
        return "`<` and `&&` are none of PowerShell 5's, and a line goes on after a backtick"
    node = GRAMMAR.parse(f"{text}\n".encode()).root_node
    return f"not PowerShell: {node}" if node.has_error else ""


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[f"{page}:{block.line}" for page, block in BLOCKS])
def test_a_powershell_block_is_powershell(page: str, block: Block) -> None:
    assert not problem_of("\n".join(block.lines)), page


@pytest.mark.parametrize("text", ["innercouncil ask - < a.txt", "a \\\n  --b c", "a && b", "echo 'a", "a (b"])
def test_what_is_no_powershell_is_seen(text: str) -> None:
    assert problem_of(text)


@pytest.mark.parametrize("page", [p for p in pages() if p not in UNIX_PAGES])
def test_what_only_a_unix_shell_takes_has_powershell_beside_it(page: str) -> None:
    found = blocks(page)
    for block, following in zip(found, [*found[1:], None], strict=False):
        if block.language in ("bash", "sh") and any(UNIX_RE.search(line) for line in block.lines):
            assert following is not None, f"{page}, line {block.line}"
            assert following.language == "powershell", f"{page}, line {block.line}"
        if not block.language and block.lines and re.match(r"(innercouncil|uv|python) ", block.lines[0]):
            unix = [line for line in block.lines if UNIX_RE.search(line.partition(" #")[0])]
            assert not unix, f"{page}, line {block.line}: write it in a bash block, with a powershell block below"
