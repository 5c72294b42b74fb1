"""Each format is recognised by what it holds, and its fields arrive where they belong."""

from __future__ import annotations

import base64
import json

import pytest
import yaml
from card_samples import MODELFILE, OPEN_WEBUI, SKILL, V1, V2, V3, card_png, chunk, samples, text_chunk

from innercouncil.cards.registry import read_card, write_card
from innercouncil.model.card import CARD_FORMATS, CardFormat, Example, PersonaCard
from innercouncil.model.errors import CardError

SYSTEM = "You are Seraphine. Stay calm.\n\nSeraphine keeps a lighthouse and answers the user slowly.\n\nPersonality: patient, dry\n\nScenario: A storm is coming."
FULL = PersonaCard(
    name="The Ästhete",
    description="Looks first.",
    system='You look at "things".\n\nThen you say $5 {{nothing}}.',
    temperature=0.65,
    top_p=0.9,
    greeting="Let me look.",
    examples=(Example("Ugly?", "No.\nPlain."), Example("And this?", "Yes.")),
    tags=("art", "slow"),
    creator="me",
    version="3",
    license="CC0",
    base_model="qwen2.5:3b",
)


@pytest.mark.parametrize("format_", CARD_FORMATS)
@pytest.mark.parametrize("name", ["", "file.bin", None])
def test_recognised_by_content(format_: CardFormat, name: str | None) -> None:
    data, own = samples()[format_]
    imported = read_card(data, own if name is None else name)[0]
    assert imported.format == format_
    assert imported.card.original is not None
    assert imported.card.original.format == format_
    assert not imported.warnings or format_ == "llm-template"


def test_character_card_v2() -> None:
    imported = read_card(json.dumps(V2).encode())[0]
    card = imported.card
    assert (card.name, card.system, card.greeting) == ("Seraphine", SYSTEM, "Come in, the user.")
    assert card.examples == (Example("What is that light?", "Mine.\nIt turns."), Example("Why?", "Ships."))
    assert (card.description, card.tags, card.creator, card.version) == (
        "A keeper of lights.",
        ("sea", "calm"),
        "anna",
        "1.2",
    )
    told = " ".join(imported.loss)
    for word in (
        "2 alternative greetings",
        "lorebook (1 entries)",
        "post-history",
        "depth_prompt",
        "a_field_nobody_knows",
    ):
        assert word in told


def test_nickname_stands_for_char_in_version_3() -> None:
    imported = read_card(json.dumps(V3).encode())[0]
    assert imported.card.system.startswith("You are Sera. Stay calm.")
    assert imported.card.name == "Seraphine"
    assert any("1 assets" in loss and "fetched" in loss for loss in imported.loss)


def test_version_1_is_read() -> None:
    imported = read_card(json.dumps(V1).encode())[0]
    assert imported.format == "card-v2"
    assert imported.card.system.startswith("Seraphine keeps")
    assert "version 1" in imported.loss[0]


def test_png_prefers_ccv3() -> None:
    other = {**V2, "data": {**V2["data"], "name": "Old"}}
    data = card_png(text_chunk("chara", other), text_chunk("ccv3", V3))
    assert read_card(data)[0].card.name == "Seraphine"
    assert read_card(card_png(text_chunk("chara", other)))[0].card.name == "Old"


def test_modelfile() -> None:
    imported = read_card(MODELFILE.encode(), "mario.txt")[0]
    card = imported.card
    assert card.system == 'You are Mario from Super Mario Bros.\nSay "wahoo" often.'
    assert (card.name, card.base_model, card.temperature, card.license) == ("mario", "llama3.2:3b", 0.6, "MIT")
    assert (card.greeting, card.examples) == ("It's-a me!", (Example("Who are you?", "Mario,\nthe plumber."),))
    assert imported.loss == ("Kept, but not used: TEMPLATE.", "Kept, but not used: parameters (num_ctx, stop).")


@pytest.mark.parametrize(
    "base", ["/etc/passwd", "./model.gguf", "https://example.org/v1#m", "C:/models/x", "a/../../b", "x/y.gguf"]
)
def test_base_model_is_never_a_path_or_an_address(base: str) -> None:
    assert read_card(f"FROM {base}\nSYSTEM Be kind.\n".encode())[0].card.base_model == ""
    model = [{"name": "x", "base_model_id": base, "params": {"system": "Be kind."}, "meta": {}}]
    assert read_card(json.dumps(model).encode())[0].card.base_model == ""


def test_open_webui_list_and_single() -> None:
    first, second = read_card(json.dumps(OPEN_WEBUI).encode())
    card = first.card
    assert (card.name, card.system, card.description) == ("Terse", "Answer in one sentence.", "Few words")
    assert (card.temperature, card.top_p, card.tags, card.base_model) == (0.3, 0.8, ("short",), "qwen2.5:7b")
    assert second.card.name == "Long"
    assert any("1 models of the file have no system prompt" in loss for loss in first.loss)
    assert any("num_ctx" in loss for loss in first.loss)
    assert len(read_card(json.dumps(OPEN_WEBUI[0]).encode())) == 1
    with pytest.raises(CardError, match="no model in it has a system prompt"):
        read_card(json.dumps(OPEN_WEBUI[1]).encode())


def test_llm_template_runs_no_code() -> None:
    data, name = samples()["llm-template"]
    imported = read_card(data, name)[0]
    card = imported.card
    assert card.system == "You are an accountant and count in $. Be exact."
    assert (card.name, card.base_model, card.temperature, card.description) == (
        "accountant",
        "gpt-4o-mini",
        0.2,
        "Counts money",
    )
    assert "Kept, but not used: functions, tools (ignored, never run)." in imported.loss
    assert any("never run" in warning for warning in imported.warnings)


def test_skill() -> None:
    imported = read_card(SKILL.encode())[0]
    card = imported.card
    assert card.name == "code-review"
    assert card.description == "Reviews code. Use when a diff is given."
    assert card.system.startswith("# Reviewing") and card.system.endswith("breaks.")
    assert (card.license, card.creator, card.version) == ("Apache-2.0", "example-org", "1.0")
    assert "compatibility, allowed-tools" in imported.loss[0]


def test_markdown_and_text() -> None:
    data, name = samples()["markdown"]
    card = read_card(data, name)[0].card
    assert (card.name, card.system) == ("The Sceptic", "Doubt every claim.\n\n## Rules\n- Ask for sources.")
    plain = read_card(b"Doubt every claim.\n\n## Rules\n- Ask.", "my sceptic.txt")[0].card
    assert (plain.name, plain.system) == ("my sceptic", "Doubt every claim.\n\n## Rules\n- Ask.")
    assert read_card("Zweifle. Größe.".encode("utf-16"))[0].card.system == "Zweifle. Größe."


def test_the_name_breaks_ties() -> None:
    text = b"# Helper\n\nFROM the start be kind.\nSYSTEM is a word.\n"
    assert read_card(text, "helper.md")[0].format == "markdown"
    assert read_card(text, "helper")[0].format == "modelfile"
    text = b"system: be kind\n"
    assert read_card(text, "x.md")[0].format == "markdown"
    assert read_card(text)[0].format == "llm-template"
    assert read_card(b"[kind] Be kind, not JSON.", "x.md")[0].format == "markdown"
    assert read_card(SKILL.encode(), "review.md")[0].format == "skill"


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "x.md", "empty"),
        (b"  \n", "", "empty"),
        (b"\xff\xd8\xff\xe0 JFIF \x00", "x.jpg", "neither a PNG picture nor UTF-8"),
        (b'{"a": 1}', "", "no persona card"),
        (b"[1, 2]", "", "no persona card"),
        (b'{"a": ', "x.json", "not valid JSON"),
        (b"hello", "x.json", "not valid JSON"),
        (b'{"spec": "chara_card_v2", "data": {"name": "x"}}', "", "no system prompt"),
        (b'{"spec": "chara_card_v2"}', "", "no system prompt"),
        (b"FROM x\nPARAMETER seed 1\n", "", "no system prompt"),
        (b'FROM x\nSYSTEM """never closed', "Modelfile", "line 2"),
        (b"system: [", "x.yaml", "not valid YAML"),
        (b"prompt: hi", "x.yaml", "without a `system`"),
        (b"# Only a name\n", "", "no system prompt"),
        (card_png(), "x.png", "without a character card"),
        (card_png(chunk(b"tEXt", b"chara\0!")), "x.png", "card"),
    ],
)
def test_errors_say_what_is_wrong(data: bytes, name: str, words: str) -> None:
    with pytest.raises(CardError, match=words) as error:
        read_card(data, name)
    assert "\n" not in str(error.value)


def test_written_files_are_what_their_programs_expect() -> None:
    v2 = json.loads(write_card(FULL, "card-v2").content)
    assert (v2["spec"], v2["spec_version"]) == ("chara_card_v2", "2.0")
    texts = (
        "name",
        "description",
        "personality",
        "scenario",
        "first_mes",
        "mes_example",
        "creator_notes",
        "system_prompt",
    )
    assert all(
        isinstance(v2["data"][key], str)
        for key in (*texts, "post_history_instructions", "creator", "character_version")
    )
    assert v2["data"]["alternate_greetings"] == []
    assert v2["data"]["extensions"]["innercouncil"]["temperature"] == 0.65
    v3 = json.loads(write_card(FULL, "card-v3").content)
    assert (v3["spec"], v3["spec_version"], v3["data"]["group_only_greetings"]) == ("chara_card_v3", "3.0", [])
    assert v3["data"]["assets"] == [{"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}]
    [model] = json.loads(write_card(FULL, "open-webui").content)
    assert (model["base_model_id"], model["is_active"], model["id"]) == ("qwen2.5:3b", True, "the-asthete")
    assert model["params"] == {"system": FULL.system, "temperature": 0.65, "top_p": 0.9}
    template = yaml.safe_load(write_card(FULL, "llm-template").content)
    assert template["system"] == FULL.system.replace("$", "$$")
    assert template["options"] == {"temperature": 0.65, "top_p": 0.9}
    assert set(template) == {"name", "model", "system", "options"}
    skill = write_card(FULL, "skill")
    front = yaml.safe_load(skill.content.decode().split("---\n")[1])
    assert (front["name"], front["description"], skill.filename) == ("the-asthete", "Looks first.", "SKILL.md")
    assert all(isinstance(value, str) for value in front["metadata"].values())
    lines = write_card(FULL, "modelfile").content.decode().split("\n")
    assert lines[1] == "FROM qwen2.5:3b"
    assert lines[2] == 'SYSTEM """You look at "things".'


@pytest.mark.parametrize("format_", CARD_FORMATS)
def test_everything_survives_or_is_named(format_: CardFormat) -> None:
    file = write_card(FULL, format_)
    card = read_card(file.content, file.filename)[0].card
    lost = [f for f in FULL.__struct_fields__ if f != "original" and getattr(card, f) != getattr(FULL, f)]
    if format_ == "markdown":
        assert lost[0] == "description" and len(lost) == 10
        assert file.loss == (
            "Plain Markdown cannot hold exactly: description, temperature, top_p, greeting, examples, tags, creator, "
            "version, license and base model.",
        )
    else:
        assert lost == []
        assert not any("cannot hold exactly" in loss for loss in file.loss)


def test_a_bare_card_loses_nothing() -> None:
    card = PersonaCard(name="bare", system="Be kind.", base_model="qwen2.5:3b")
    for format_ in ("card-png", "open-webui", "llm-template", "markdown"):
        loss = write_card(card, format_).loss
        assert [s for s in loss if "base model" not in s] == []


def test_modelfile_quotes() -> None:
    system = 'Say """wow""" now.\nEnd lines with """\nor "\nand go on'
    card = PersonaCard(name="q", system=system)
    file = write_card(card, "modelfile")
    assert read_card(file.content)[0].card.system == system
    assert any("three quotes" in loss for loss in file.loss)
    assert b"with '''\nor \"\n" in file.content
    # Edited in the Modelfile itself, the new text counts, not the one in the comment.
    start, _, end = file.content.rpartition(b"and go on")
    edited = start + b"and stop" + end
    assert read_card(edited)[0].card.system.endswith("and stop")
    assert "End lines with '''" in read_card(edited)[0].card.system


def test_new_png_is_a_picture_with_both_cards() -> None:
    data = write_card(FULL, "card-png").content
    for key, spec in ((b"chara", "chara_card_v2"), (b"ccv3", "chara_card_v3")):
        start = data.index(b"tEXt" + key + b"\0") + 5 + len(key)
        length = int.from_bytes(data[start - 9 - len(key) : start - 5 - len(key)], "big") - len(key) - 1
        assert json.loads(base64.b64decode(data[start : start + length]))["spec"] == spec
