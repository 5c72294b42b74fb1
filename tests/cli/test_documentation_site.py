"""The documentation site builds without a complaint, holds the reference, and loads nothing from elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from loaded import of_page, of_styles

ROOT = Path(__file__).parent.parent.parent


def test_the_site_builds_and_is_whole_by_itself(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)], capture_output=True, text=True,
        encoding="utf-8", check=False, cwd=ROOT,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    commands = next((tmp_path / "reference").glob("commands*")).read_text("utf-8")
    assert "innercouncil discover" in commands
    pages, styles = list(tmp_path.rglob("*.html")), list(tmp_path.rglob("*.css"))
    assert len(pages) > 20 and styles
    assert {p.name: found for p in pages if (found := of_page(p.read_text("utf-8")))} == {}
    assert {p.name: found for p in styles if (found := of_styles(p.read_text("utf-8")))} == {}


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://evil.example/x.js"></script>', "<script src=//evil.example/x.js></script>",
        "<SCRIPT\nSRC = 'HTTP://evil.example'></SCRIPT>", "<script async src=ht&#116;ps://evil.example>", "<img src=\\\\evil.example>",
        "<img alt='>' src='\t//evil.example'>", '<img srcset="a.png 1x, //evil.example/b.png 2x">', "<img/src=//evil.example/>",
        "<source srcset=//evil.example/a>", "<video poster=//evil.example/a>", "<object data=//evil.example/a>",
        "<link rel=stylesheet href=//evil.example/a.css>", "<link href=//evil.example rel='preconnect'>",
        "<link rel='alternate stylesheet' href=//evil.example/a.css>", "<base href=//evil.example/>",
        "<meta http-equiv=refresh content='0; url=https://evil.example'>", "<meta HTTP-EQUIV='Refresh' content='0;//evil.example'>",
        "<style>@import '//evil.example/a.css';</style>", "<style>p{background:url( //evil.example/a )}</style>",
        "<p style='background: url(&quot;//evil.example&quot;)'>", "<style>p{background:u\\72l(\\68ttp://evil.example)}</style>",
        "<svg><image xlink:href=//evil.example /></svg>", "<svg><use href='//evil.example#a'/></svg>",
        "<iframe srcdoc='&lt;img src=//evil.example&gt;'></iframe>", "<a ping=//evil.example href=x>",
        "<body background=//evil.example>", "<form action=//evil.example>",
    ],
)  # fmt: skip
def test_a_page_that_loads_from_elsewhere_is_seen(page: str) -> None:
    assert of_page(f"<!doctype html><p>x</p>{page}")


@pytest.mark.parametrize(
    "page",
    [
        "<a href=https://example.org>a link is followed by the person alone</a>", "<link rel=canonical href=https://example.org/>",
        "<img src=img/a.png srcset='a.png 1x, b.png 2x'>", "<link rel=stylesheet href=css/a.css>", "<!-- <img src=//evil.example> -->",
        "<pre>&lt;img src=//evil.example&gt;</pre>", "<style>p{background:url(../a.png)} /* url(//evil.example) */</style>",
        "<img src='data:image/png;base64,//8='>", "<meta name=refresh content='0;//evil.example'>",
    ],
)  # fmt: skip
def test_what_a_browser_does_not_load_is_let_be(page: str) -> None:
    assert of_page(page) == []
