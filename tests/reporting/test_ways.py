"""The two ways of finding modes on the page and in the terminal: everything a model said is escaped, nothing shows without facets."""

from __future__ import annotations

import io

from rich.console import Console
from sample import HOSTILE, NASTY, make_discovery, make_report

from innercouncil.model.facets import FacetGroup, FacetHierarchy, FacetReport, FoundMode, FoundModes, ModeComparison
from innercouncil.reporting.page import render_report
from innercouncil.reporting.summary import print_comparison


def hostile_comparison() -> ModeComparison:
    report = FacetReport(
        model=NASTY, conversations=40, accepted=30, rejected=10, reasons={NASTY: 10}, asked_again=12, groups=3, unnamed=1,
    )  # fmt: skip
    leaf = FacetGroup(name=NASTY, description=NASTY, named_by="terms", size=9, conversations=HOSTILE)
    top = FacetGroup(name=NASTY, description=NASTY, named_by="model", size=9, stability=0.5, children=(leaf,))
    ways = tuple(
        FoundModes(
            way=way, verdict=NASTY, modes=(FoundMode(name=NASTY, size=5, stability=0.7),), mean_stability=0.7,
            separation=0.5, separation_null=0.3, placed=1.0,
        )
        for way in ("labels", "facets")
    )  # fmt: skip
    return ModeComparison(
        used="facets", messages=10, ways=ways, ari=0.25, ami=0.5, table=((5, 0), (3, 2)), grounding=0.1,
        grounding_chance=0.2, hierarchy=FacetHierarchy(groups=(top,), moved=2, report=report),
    )  # fmt: skip


def page(comparison: ModeComparison | None) -> str:
    return render_report(make_discovery(), make_report(), generated="now", version="1", comparison=comparison)


def test_what_a_model_said_is_escaped_on_the_page():
    text = page(hostile_comparison())
    for raw in ("<script>alert(1)", "<img src=https://evil", '" onmouseover="', "\x1b", "\x07"):
        assert raw not in text
    assert "Two ways of finding modes" in text
    assert "do not show in the messages" in text
    assert "10 were not validly described twice" in text
    assert text.count("<details") > page(None).count("<details")


def test_without_facets_the_page_is_what_it_was():
    assert page(None) == render_report(make_discovery(), make_report(), generated="now", version="1")
    assert 'class="tree"' not in page(None)
    alone = ModeComparison(used="labels", messages=10, ways=hostile_comparison().ways[:1])
    assert page(alone) == page(None)


def test_in_the_terminal_nothing_steers_it():
    out = io.StringIO()
    print_comparison(Console(file=out, width=100, force_terminal=False), hostile_comparison())
    said = out.getvalue()
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "ARI 0.25, AMI 0.50" in said
    assert "[bold red]markup" in " ".join(said.split())
