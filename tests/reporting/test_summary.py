from __future__ import annotations

import io
import re
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from sample import make_discovery, make_hostile, make_hostile_report, make_report

from innercouncil.reporting.summary import print_summary, safe

FILES = {"report": Path("data/report.html"), "prompts": Path("data/personas/prompts/generated_prompts.json")}


def printed(discovery, report=None, files=FILES, *, width=100, terminal=False, encoding="utf-8"):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="")
    console = Console(
        file=out,
        width=width,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        legacy_windows=False,
    )
    print_summary(console, discovery, report or make_report(), files)
    out.flush()
    return raw.getvalue().decode(encoding)


def test_the_facts_of_the_report_are_told():
    text = re.sub(r"\s+", " ", printed(make_discovery(3, 10)))
    for told in (
        "3 modes found", "812 conversations", "Software Builder", "highly stable (0.93)", "“the cause” (18×)",
        "build 48% (3.1×)", "3 (0.83, taken)", "topic 0.61", "211 × far from every mode", "1,208 × step of the assistant",
        "31 × email", "2 conversations carry no dates", "2023-01 ", " 2025-06",
    ):  # fmt: skip
        assert told in text


def test_the_files_stand_whole_on_their_line_so_that_they_can_be_copied():
    lines = printed(make_discovery(1, 10), width=30).splitlines()
    assert f"prompts  {FILES['prompts']}" in lines
    assert f"report   {FILES['report']}" in lines


@pytest.mark.parametrize("terminal", [False, True])
def test_no_control_character_of_the_export_reaches_the_terminal(terminal):
    text = printed(make_hostile(), make_hostile_report(), {"\x1b[2Jr": Path("a\x1b[31mb")}, terminal=terminal)
    if terminal:
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
        styled = printed(make_hostile(), make_hostile_report(), terminal=True)
        assert "\x1b[31m" not in styled
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", text)


def test_markup_of_the_export_is_shown_not_obeyed():
    text = printed(make_hostile(), make_hostile_report(), width=2000)
    assert "[bold red]markup[/] [/nonsense]" in text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("\x1b\x1b[31m[31mx", " [31mx"),
        ("a\nb\tc\rd", "a b c d"),
        ("a\u202eb\u2028c", "a b c"),
        ("\x1b]no end", "no end"),
        ("naïve 👩‍💻 [b]", "naïve 👩‍💻 [b]"),
    ],
)
def test_safe_leaves_the_words_only(raw, shown):
    assert safe(raw).strip() == shown.strip()


@pytest.mark.parametrize("width", [20, 40, 200])
@pytest.mark.parametrize("personas", [0, 1, 8])
def test_any_width_and_number_of_personas_prints(personas, width):
    text = printed(make_discovery(personas, 10), width=width, files={})
    assert all(len(line) <= width for line in text.splitlines())


def test_without_times_there_is_no_trend():
    assert not re.search("[▁-█]", printed(make_discovery(2, 10, times=False)))


def test_months_without_messages_leave_a_gap_in_the_trend():
    discovery = make_discovery(1, 1)
    persona = msgspec.structs.replace(discovery.personas[0], months={"2023-11": 8, "2024-02": 4, "2024-03": 8})
    text = printed(msgspec.structs.replace(discovery, personas=(persona,)))
    assert "2023-11 █  ▅█ 2024-03" in text


def test_a_console_that_is_not_unicode_gets_no_blocks():
    assert not re.search("[▁-█]", printed(make_discovery(1, 10), encoding="cp1252"))


def test_a_persona_with_nothing_but_a_name_prints():
    discovery = make_discovery(1, 1)
    bare = msgspec.structs.replace(
        discovery.personas[0], labels=(), phrases=(), exemplars=(), months={}, description=""
    )
    assert "Software Builder" in printed(msgspec.structs.replace(discovery, personas=(bare,)))


def test_same_input_prints_the_same():
    assert printed(make_discovery(2, 10)) == printed(make_discovery(2, 10))
