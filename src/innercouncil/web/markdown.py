"""Model output as HTML that can do nothing: no raw HTML, no links, no pictures."""

from __future__ import annotations

from functools import cache

from markdown_it import MarkdownIt


@cache
def _parser() -> MarkdownIt:
    # A link in an answer is shown as it was written: nobody checked where it leads, and a picture would call home.
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable(["table", "strikethrough"])
    return parser.disable(["link", "image", "autolink", "html_inline", "html_block", "reference"])


def to_html(text: str) -> str:
    """HTML of a Markdown text; only headings, lists, quotes, code, tables and emphasis can come out."""
    clean = "".join(c for c in text if c.isprintable() or c in "\n\t")
    return str(_parser().render(clean))
