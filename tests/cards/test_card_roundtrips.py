"""What was read is written again as it was; what was edited is changed; from any format to any, name and text survive."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import msgspec
import png
import pytest
import yaml
from card_samples import LLM_TEMPLATE, MODELFILE, OPEN_WEBUI, SKILL, V2, V3, card_png, samples, text_chunk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innercouncil.cards.registry import read_card, write_card
from innercouncil.cards.safety import Cleaner, strip_hidden
from innercouncil.model.card import CARD_FORMATS, CardFormat, Example, PersonaCard

FAMILY: tuple[CardFormat, ...] = ("card-v2", "card-v3", "card-png")


def read_one(data: bytes, name: str = "") -> PersonaCard:
    return read_card(data, name)[0].card


def edited(card: PersonaCard, **changes: Any) -> PersonaCard:
    return msgspec.structs.replace(card, **changes)


def png_card(data: bytes, key: bytes) -> Any:
    at = data.index(b"tEXt" + key + b"\0")
    length = int.from_bytes(data[at - 4 : at], "big")
    return json.loads(base64.b64decode(data[at + 4 : at + 4 + length].partition(b"\0")[2]))


def test_unedited_character_cards_come_back_whole() -> None:
    assert json.loads(write_card(read_one(json.dumps(V2).encode()), "card-v2").content) == V2
    again = json.loads(write_card(read_one(json.dumps(V3).encode()), "card-v3").content)
    assert again["data"].pop("modification_date") == 0
    assert again == V3


def test_unedited_others_come_back_whole() -> None:
    for format_, original in (("skill", SKILL), ("llm-template", LLM_TEMPLATE)):
        data, name = samples()[format_]
        written = write_card(read_one(data, name), format_).content.decode()
        parts = [text.split("---\n") if format_ == "skill" else ["", text, ""] for text in (written, original)]
        assert yaml.safe_load(parts[0][1].replace("'2024-05-01'", "2024-05-01")) == yaml.safe_load(parts[1][1])
        assert parts[0][2] == parts[1][2]
    written_models = [
        json.loads(write_card(i.card, "open-webui").content)[0] for i in read_card(json.dumps(OPEN_WEBUI).encode())
    ]
    assert written_models == [OPEN_WEBUI[0], OPEN_WEBUI[2]["info"]]
    data, name = samples()["markdown"]
    assert write_card(read_one(data, name), "markdown").content == data
    card = read_one(MODELFILE.encode(), "Modelfile")
    written = write_card(card, "modelfile").content.decode()
    for line in (
        "# made by hand",
        "PARAMETER num_ctx 8192",
        'TEMPLATE """{{ .System }} {{ .Prompt }}"""',
        "PARAMETER stop <|end|>",
    ):
        assert line in written.split("\n")
    assert read_one(written.encode()).system == card.system


def test_a_skill_without_a_name_is_written_with_one() -> None:
    for front in (b"description: Looks first.", b"name:" + b"K" * 130 + b": not a name"):
        card = read_one(b"---\n" + front + b"\n---\nBe kind.\n", "SKILL.md")
        file = write_card(card, "skill")
        assert b"\nname: imported-persona\n" in file.content
        again = read_card(file.content, file.filename)[0]
        assert (again.format, again.card.name, again.card.system) == ("skill", card.name, "Be kind.")


@pytest.mark.parametrize("format_", CARD_FORMATS)
def test_edits_arrive_and_the_rest_stays(format_: CardFormat) -> None:
    data, name = samples()[format_]
    before = read_one(data, name)
    after = edited(
        before, name="Other One", system="Something else.\n\nQuite.", temperature=1.1, description="New words",
        tags=("new",), examples=(Example("a", "b"),), greeting="Hello.",
    )  # fmt: skip
    file = write_card(after, format_)
    again = read_one(file.content, file.filename)
    kept = ("name", "system") if format_ == "markdown" else tuple(f for f in after.__struct_fields__ if f != "original")
    assert {f: getattr(again, f) for f in kept} == {f: getattr(after, f) for f in kept}
    for unknown in {
        "card-v2": ["a_field_nobody_knows", "depth_prompt", "Who is there?"],
        "card-v3": ["sea.webp", "1700000000", "a_field_nobody_knows"],
        "modelfile": ["num_ctx 8192", "{{ .System }}", "made by hand"],
        "open-webui": ["num_ctx", "capabilities", "1734000000"],
        "llm-template": ["def steal", "llm_time", "max_tokens", "made_on"],
        "skill": ["Bash(git:*)", "stern"],
    }.get(format_, []):
        assert unknown in file.content.decode()


def test_png_keeps_picture_and_other_chunks() -> None:
    data, name = samples()["card-png"]
    card = read_one(data, name)
    same = write_card(card, "card-png").content
    assert png_card(same, b"ccv3")["data"].items() >= V3["data"].items()
    assert b"Comment\0drawn by hand" in same
    changed = write_card(edited(card, system="New."), "card-png").content
    assert png_card(changed, b"ccv3")["data"]["system_prompt"] == "New."
    assert png_card(changed, b"chara")["data"]["system_prompt"] == "New."
    pictures = [list(png.Reader(file=io.BytesIO(d)).asRGB()[2]) for d in (data, same, changed)]
    assert pictures[0] == pictures[1] == pictures[2]
    idat = data[data.index(b"IDAT") - 4 : data.index(b"IDAT") + 20]
    assert idat in changed
    only_v2 = write_card(read_one(card_png(text_chunk("chara", V2))), "card-png").content
    assert png_card(only_v2, b"chara") == V2
    assert b"ccv3" not in only_v2


def test_edit_of_the_head_leaves_the_other_fields() -> None:
    card = read_one(json.dumps(V2).encode())
    file = write_card(edited(card, system=card.system.replace("Stay calm.", "Stay awake.")), "card-v2")
    data = json.loads(file.content)["data"]
    assert data["system_prompt"] == "You are Seraphine. Stay awake."
    assert data["description"] == V2["data"]["description"]
    assert file.loss == ()


def test_edit_of_the_rest_goes_to_system_prompt_once() -> None:
    card = read_one(json.dumps(V2).encode())
    text = card.system.replace("lighthouse", "mill")
    file = write_card(edited(card, system=text), "card-v2")
    data = json.loads(file.content)["data"]
    assert (data["system_prompt"], data["description"], data["personality"]) == (text, "", "")
    assert data["extensions"]["innercouncil"]["replaced"]["description"] == V2["data"]["description"]
    assert data["extensions"]["talkativeness"] == "0.5"
    assert "would repeat it" in file.loss[0]
    assert read_one(file.content).system == text


def test_a_new_name_does_not_change_the_text() -> None:
    for source in (V2, V3):
        card = edited(read_one(json.dumps(source).encode()), name="Bob")
        for format_ in FAMILY:
            again = read_one(write_card(card, format_).content)
            assert (again.name, again.system, again.greeting) == ("Bob", card.system, card.greeting)


def test_macros_that_are_meant_literally_survive() -> None:
    card = PersonaCard(name="Teacher", system="Explain {{char}} and {{user}}.", greeting="<user>?")
    for format_ in FAMILY:
        file = write_card(card, format_)
        again = read_one(file.content)
        assert (again.system, again.greeting) == (card.system, card.greeting)
        assert any("replace {{char}}" in loss for loss in file.loss)


def test_other_formats_name_what_the_original_held() -> None:
    data, name = samples()["card-png"]
    loss = write_card(read_one(data, name), "modelfile").loss
    assert "Left out: the picture of the card." in loss
    assert "Left out: the lorebook (1 entries)." in loss
    assert any("nickname" in s for s in write_card(read_one(json.dumps(V3).encode()), "card-v2").loss)


@pytest.mark.parametrize("source", CARD_FORMATS)
@pytest.mark.parametrize("target", CARD_FORMATS)
def test_any_to_any(source: CardFormat, target: CardFormat) -> None:
    data, name = samples()[source]
    card = read_one(data, name)
    file = write_card(card, target)
    again = read_card(file.content, file.filename)[0]
    assert (again.format, again.card.name, again.card.system) == (target, card.name, card.system)


def _clean(text: str) -> str:
    return Cleaner([]).text(text, "text", 40_000)


pieces = st.sampled_from(
    ['"""', '"', "$", "$$", "${x}", "{{user}}", "<START>", "---", "# ", "FROM x", "SYSTEM y", "\n", "\n\n", ": ", "'''", "- ", "{", "[",
     "name: x", "{{char}}:", "\\", "|", ">", "\t", " ", "\u00a0", "\u2003", "é", "日本", "👩‍🔬", "#", "&a", "*a", "!!x", "%", "@", "```"]
)  # fmt: skip
texts = st.one_of(st.text(max_size=60), st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=12).map("".join)).map(
    _clean
)
names = texts.map(lambda text: Cleaner([]).line(text, "name", 80)).filter(bool)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=names, system=texts.filter(bool), description=texts, greeting=texts, pair=st.tuples(texts, texts),
    first=st.sampled_from(CARD_FORMATS), second=st.sampled_from(CARD_FORMATS),
)  # fmt: skip
def test_name_and_system_survive_any_way(
    name: str,
    system: str,
    description: str,
    greeting: str,
    pair: tuple[str, str],
    first: CardFormat,
    second: CardFormat,
) -> None:
    examples = (Example(*pair),) if all(pair) else ()
    card = PersonaCard(
        name=name, system=system, description=description[:2000], greeting=greeting, examples=examples, temperature=0.5
    )
    once = write_card(card, first)
    read = read_card(once.content, once.filename)[0]
    assert (read.format, read.card.name, read.card.system) == (first, name, system)
    twice = write_card(read.card, second)
    again = read_card(twice.content, twice.filename)[0]
    assert (again.format, again.card.name, again.card.system) == (second, name, system)


@settings(max_examples=60, deadline=None)
@given(system=texts.filter(bool), name=names, format_=st.sampled_from(CARD_FORMATS))
def test_edits_of_any_text_survive(system: str, name: str, format_: CardFormat) -> None:
    data, filename = samples()[format_]
    card = edited(read_one(data, filename), system=system, name=name)
    file = write_card(card, format_)
    again = read_one(file.content, file.filename)
    assert (again.name, again.system) == (name, system)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once, _ = strip_hidden(text)
    twice, counts = strip_hidden(once)
    assert twice == once
    assert not counts
