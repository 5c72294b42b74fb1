from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import msgspec
import pytest
from sample import HOSTILE, NASTY, make_discovery, make_hostile, make_hostile_report, make_report

from innercouncil.model.persona import Discovery, MapPoint
from innercouncil.reporting.page import COLOURS, LOOSE, MAX_MONTHS, MAX_POINTS, render_report

CSP = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """What a browser would make of the page: elements in order, the text shown, the scripts."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.html = html
        self.elements, self.scripts, self.shown, self.unclosed = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.unclosed.append(tag)
        if tag in ("script", "style"):
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self.unclosed.pop() == tag

    def handle_data(self, data):
        if self.unclosed and self.unclosed[-1] in ("script", "style"):
            self.scripts[-1] += data
        else:
            self.shown.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.shown))

    @property
    def data(self):
        return json.loads(self.scripts[1])

    def all(self, tag, **wanted):
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted.items())]


def page(discovery: Discovery | None = None, report=None) -> Page:
    return Page(
        render_report(discovery or make_discovery(points=300), report or make_report(), generated="now", version="1.2")
    )


def test_same_input_gives_same_bytes():
    assert page().html == page().html


def test_the_page_is_well_formed_and_asks_for_nothing_from_elsewhere():
    for found in (page(), page(make_hostile(), make_hostile_report())):
        assert not found.unclosed
        assert found.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"] == CSP
        for tag, attrs in found.elements:
            assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form", "video", "audio", "source")
            assert not {"src", "srcset", "action", "formaction", "poster", "background"} & set(attrs)
            assert attrs.get("href", "#").startswith("#")
        assert not any(
            re.search(r"https?://|//\w|@import|url\(", s.replace("// ", ""))
            for s in (found.scripts[0], found.scripts[2])
        )


def test_hostile_texts_are_shown_and_never_acted_on():
    tame, hostile = page(make_discovery(3, 60)), page(make_hostile(), make_hostile_report())
    assert {t for t, _ in hostile.elements} <= {t for t, _ in tame.elements}
    assert len(hostile.scripts) == len(tame.scripts) == 3
    assert hostile.scripts[2] == tame.scripts[2]
    for _, attrs in hostile.elements:
        assert not [a for a in attrs if a.startswith("on")]
        assert "<" not in attrs.get("style", "") and "alert" not in attrs.get("style", "")
    for text in HOSTILE:
        if not re.search(r"[\x00-\x1f\x7f-\x9f]", text):
            assert re.sub(r"\s+", " ", text) in hostile.text
    assert not re.search(r"\b49\b(?!%)", hostile.text)


def test_hostile_texts_do_not_reach_the_source_unescaped():
    html = page(make_hostile(), make_hostile_report()).html
    html = re.sub(r'(id="data">).*?(</script>)', r"\1\2", html, flags=re.S)
    for raw in ("<script>alert", "<img", "<!--", '" onmouseover', "x=' <"):
        assert raw not in html
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", html)


def test_data_for_the_map_cannot_end_its_element():
    found = page(make_hostile(), make_hostile_report())
    raw = re.search(r'<script type="application/json" id="data">(.*?)</script>', found.html, re.S).group(1)
    assert not re.search("[<>&\u2028\u2029]", raw)
    assert all(part in found.data["names"][0] for part in ("</script><script>alert(1)</script>", "a\u2028b\u2029c"))


def test_scripts_write_data_as_text_only():
    script = page().scripts[2]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function|fetch|XMLHttp|import\(", script
    )


@pytest.mark.parametrize("personas", [0, 1, 2, 5, 8])
def test_any_number_of_personas_renders(personas):
    found = page(make_discovery(personas, 50))
    assert len(found.all("article")) == personas
    assert len(found.all("pre")) == personas
    assert not found.unclosed


def test_without_times_nothing_is_drawn_over_time():
    found = page(make_discovery(2, 50, times=False))
    assert not found.all("svg")
    assert "no dates" in found.text


def test_an_empty_discovery_says_so():
    found = page(make_discovery(0, 0))
    assert "No modes found" in found.text
    assert not found.all("canvas")


def test_the_numbers_of_the_data_and_what_was_left_out_are_told():
    text = page().text
    for told in ("812", "9,406", "4,213", "1,204,881", "2023-01 – 2025-06", "ChatGPT", "1,208 × step of the assistant"):
        assert told in text
    assert "211 × far from every mode" in text
    assert "31" in text and "email" in text and "in 3 messages" in text


def test_a_card_shows_what_the_persona_is_and_where_it_comes_from():
    discovery = make_discovery(1, 10)
    text = page(discovery).text
    persona = discovery.personas[0]
    for told in (
        persona.name,
        "highly stable · 0.93",
        "2,500",
        "18× · 40",
        "48% · 3.1×",
        "87%, elsewhere 21%",
        "444 of 700 tokens",
        "6 messages",
        "a third example",
    ):
        assert told in text
    shown = {e.id for e in persona.exemplars}
    assert all(i in text for c in persona.claims for i in c.evidence if i not in shown)


def test_months_without_messages_have_an_empty_bar_on_an_axis_shared_by_all():
    charts = re.findall(r'aria-label="Messages over time.*?</svg>', page(make_discovery(3, 10)).html, re.S)
    assert [c.count("<rect") for c in charts] == [30, 30, 30]
    assert "<title>2023-05: 0</title>" in charts[0]


def test_a_very_long_time_is_drawn_by_year():
    html = page(make_discovery(1, 10, months=MAX_MONTHS + 12)).html
    assert "Year by year" in html
    assert "2023-01 – 2029-12" in html


def test_the_map_holds_at_most_its_limit_and_only_finite_points():
    discovery = make_discovery(2, 7_001)
    bad = (MapPoint("n", float("nan"), 0.0, None), MapPoint("i", 0.0, float("inf"), None))
    points = page(msgspec.structs.replace(discovery, map=(*bad, *discovery.map))).data["points"]
    assert len(points) == MAX_POINTS
    assert all(0 <= x <= 1000 and 0 <= y <= 1000 and g in (-1, 0, 1) for x, y, g in points)


def test_a_map_of_one_place_stands_in_the_middle():
    discovery = msgspec.structs.replace(make_discovery(1, 0), map=(MapPoint("a", 0.3, 0.3, None),) * 2)
    assert page(discovery).data["points"] == [[500, 500, -1]] * 2


def test_absurd_times_are_left_out():
    discovery = make_discovery(1, 5)
    persona = discovery.personas[0]
    exemplars = tuple(msgspec.structs.replace(e, time=1e300) for e in persona.exemplars)
    assert not page(
        msgspec.structs.replace(discovery, personas=(msgspec.structs.replace(persona, exemplars=exemplars),))
    ).unclosed


def test_charts_and_tables_can_be_read_without_seeing_them():
    found = page()
    assert all(a.get("role") == "img" and a.get("aria-label") for a in found.all("svg") + found.all("canvas"))
    assert len(found.all("caption")) == len(found.all("table")) == 3
    assert len(found.all("h1")) == 1
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_text_has_enough_contrast_and_charts_can_be_seen():
    style = page().scripts[0]
    light, dark = re.findall(r":root \{(.*?)\}", style, re.S)[:2]
    for n, block in enumerate((light, dark)):
        value = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for ground in ("bg", "card", "tint"):
            assert contrast(value["ink"], value[ground]) >= 7
            assert contrast(value["soft"], value[ground]) >= 4.5
        for pair in COLOURS:
            assert contrast(pair[n], value["card"]) >= 3
            assert contrast(value["ink"], mixed(pair[n], value["bg"], 0.38)) >= 4.5
    assert LOOSE[0] in light and LOOSE[1] in dark


def test_the_sample_is_as_hostile_as_it_says():
    assert NASTY in make_hostile().personas[0].name


def channels(colour):
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def luminance(colour):
    parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in channels(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def mixed(over, under, part):
    return "#" + "".join(
        f"{round(255 * (part * x + (1 - part) * y)):02x}" for x, y in zip(channels(over), channels(under), strict=True)
    )
