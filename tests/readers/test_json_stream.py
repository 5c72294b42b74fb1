from __future__ import annotations

import io
import json
import time
import tracemalloc

import pytest
from chatgpt_builder import elements, new_report, simple

from innercouncil.model.errors import ImportFormatError
from innercouncil.readers import json_scan, json_stream
from innercouncil.readers.json_stream import DAMAGED, TOO_DEEP, iter_elements

CHATS = [simple(f"c{i}", 'brackets }, {"title" and "quotes\\" é 😀 ' * 3, "]}[{" * 5) for i in range(50)]
PLAIN = json.dumps(CHATS).encode()


@pytest.fixture(params=[64, 1000, 4 << 20], ids=["64 B blocks", "1 kB blocks", "4 MB blocks"])
def _blocks(request, monkeypatch):
    monkeypatch.setattr(json_scan, "BLOCK_BYTES", request.param)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        json.dumps(CHATS, ensure_ascii=False).encode(),
        json.dumps(CHATS, indent=2).encode(),
        json.dumps(CHATS, indent="\t").replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + PLAIN,
        b" \n\t" + PLAIN + b"\n",
        json.dumps(CHATS, ensure_ascii=False).encode("utf-16"),
        json.dumps(CHATS, ensure_ascii=False).encode("utf-16-le"),
        json.dumps(CHATS, ensure_ascii=False).encode("utf-16-be"),
        json.dumps(CHATS).encode("utf-32"),
        PLAIN[:-1] + b" , ]",
        b"[" + b"\n".join(json.dumps(c).encode() + b"," for c in CHATS) + b"]",
        "\n".join(map(json.dumps, CHATS)).encode(),
    ],
    ids=[
        "plain",
        "utf8",
        "pretty",
        "tabs-crlf",
        "bom",
        "blanks",
        "utf16",
        "utf16le",
        "utf16be",
        "utf32",
        "comma",
        "lines",
        "objects",
    ],
)
def test_every_layout_gives_the_same_elements(data):
    report = new_report()
    assert elements(data, report) == CHATS
    assert (report.skipped, report.warnings) == ({}, [])


def test_one_object_is_one_element():
    assert elements(json.dumps(CHATS[0]).encode()) == CHATS[:1]


@pytest.mark.parametrize("keys", [["title", "id"], ["id", "title"]])
@pytest.mark.usefixtures("_blocks")
def test_elements_that_begin_differently_are_all_found(keys):
    mixed = [{keys[i % 2]: i, keys[1 - i % 2]: str(i)} for i in range(400)]
    assert elements(json.dumps(mixed).encode()) == mixed


@pytest.mark.usefixtures("_blocks")
def test_inner_objects_that_begin_like_the_elements_do_not_split_them():
    nested = [{"id": i, "messages": [{"id": j, "x": [{"id": j}, {"id": 2}]} for j in range(20)]} for i in range(60)]
    assert elements(json.dumps(nested).encode()) == nested


def test_inner_objects_that_begin_like_the_elements_cost_linear_time():
    def seconds(n):
        data = json.dumps([{"id": i, "m": [{"id": j} for j in range(2000)]} for i in range(n)]).encode()
        start = time.perf_counter()
        assert len(elements(data)) == n
        return time.perf_counter() - start

    small, large = min(seconds(40), seconds(40)), seconds(800)
    assert large < 60 * max(small, 0.005)


@pytest.mark.parametrize("data", [b"[1, null, [2], {}, 3]", b"[[[]], 1]", b'["a]", "b"]', b"[]", b" [ ] "])
def test_scalars_and_lists_are_elements_too(data):
    assert elements(data) == json.loads(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"hello", "not JSON"),
        (b"\x89PNG\r\n", "not JSON"),
        (b'[{"a": 1', "breaks off"),
        (b'{"a": ', "breaks off"),
    ],
)
def test_what_is_not_json_is_said_in_one_sentence(data, says):
    with pytest.raises(ImportFormatError, match=says) as caught:
        elements(data)
    assert "x.json" in str(caught.value)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("cut", [1, 2, 500, 1001, 5000])
def test_a_file_that_breaks_off_keeps_its_whole_elements_and_says_how_much_is_lost(cut):
    report = new_report()
    found = elements(PLAIN[:-cut], report)
    assert found == CHATS[: len(found)]
    ends = len(json.dumps(CHATS[: len(found)]).encode()) - 1
    lost = len(PLAIN[:-cut][ends:].lstrip(b", "))
    (warning,) = report.warnings
    assert f"last {lost:,} bytes" in warning if lost else "closing bracket" in warning
    assert len(found) >= len(CHATS) - 1 - cut // 200


@pytest.mark.usefixtures("_blocks")
def test_lone_surrogates_nan_and_bad_utf8_are_replaced():
    bodies = [
        rb'{"t": "a \ud83d b \ude00 \\ud800 \ud83d\ude00"}',
        b'{"t": NaN}',
        b'{"t": "caf\xe9"}',
        b'{"t": "tab\there"}',
        b'{"t": 1e999}',
    ]
    report = new_report()
    found = [e["t"] for e in elements(b"[" + b",".join(bodies) + b"]", report)]
    assert found[0] == "a \ufffd b \ufffd \\ud800 😀"
    assert found[1] != found[1]
    assert found[2:] == ["caf\ufffd", "tab\there", float("inf")]
    assert report.skipped == {}
    assert "replaced" in report.warnings[0]


@pytest.mark.usefixtures("_blocks")
def test_nesting_beyond_reason_costs_one_element():
    deep = b'{"title": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    report = new_report()
    data = b"[" + json.dumps(CHATS[0]).encode() + b"," + deep + b"," + json.dumps(CHATS[1]).encode() + b"]"
    assert elements(data, report) == CHATS[:2]
    assert report.skipped == {TOO_DEEP: 1}


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("what", [b'"mapping"', b'"children"', b": [", b'"]}['])
def test_a_damaged_element_costs_little_more_than_itself(what):
    at = PLAIN.index(what, len(PLAIN) // 2)
    report = new_report()
    found = elements(PLAIN[:at] + b"\0" + PLAIN[at + 1 :], report)
    assert len(found) >= len(CHATS) - 3
    assert all(chat in CHATS for chat in found)
    assert report.skipped.get(DAMAGED, 0) >= 1


def test_a_lost_quote_in_the_first_element_does_not_lose_the_rest():
    data = PLAIN.replace(b'"title": "A chat"', b'"title": "A chat ', 1)
    found = elements(data)
    assert len(found) >= len(CHATS) - 2
    assert all(chat in CHATS for chat in found)


def test_what_follows_the_list_is_named():
    report = new_report()
    assert elements(PLAIN + b" trailing", report) == CHATS
    assert "8 bytes" in report.warnings[0]


def test_an_element_larger_than_memory_allows_is_skipped(monkeypatch):
    monkeypatch.setattr(json_scan, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(json_stream, "MAX_GUESS_BYTES", 2000)
    monkeypatch.setattr(json_stream, "MAX_ELEMENT_BYTES", 10_000)
    report = new_report()
    chats = [CHATS[0], simple("big", "x" * 50_000), CHATS[1]]
    assert elements(json.dumps(chats).encode(), report) == CHATS[:2]
    assert report.skipped == {json_stream.TOO_LARGE: 1}


def test_a_suspiciously_large_element_is_searched_for_others(monkeypatch):
    monkeypatch.setattr(json_scan, "BLOCK_BYTES", 256)
    monkeypatch.setattr(json_stream, "MAX_GUESS_BYTES", 500)
    monkeypatch.setattr(json_stream, "SUSPECT_BYTES", 3000)
    whole = [simple("huge", "y" * 20_000), *CHATS[:3]]
    assert elements(json.dumps(whole).encode()) == whole


@pytest.mark.parametrize(
    "unit", [b'}, {"title"', b"[", b"{", b'{"title":1},', b"},", b'"', b"\\", b'[{"title":', b"} ", b"1,"]
)
def test_hostile_repetition_is_linear(unit):
    def seconds(size):
        data = b'[{"title": 1}, ' + unit * (size // len(unit))
        start = time.perf_counter()
        for _ in iter_elements(io.BytesIO(data), new_report()):
            pass
        return time.perf_counter() - start

    small = min(seconds(300_000), seconds(300_000))
    assert min(seconds(3_000_000), seconds(3_000_000)) < 30 * max(small, 0.01)


def test_memory_does_not_grow_with_the_file():
    class Endless(io.RawIOBase):
        def __init__(self, count):
            self.left, self.body = count, b"," + json.dumps(CHATS).encode()[1:-1]
            self.first = True

        def read(self, _size=-1):
            if self.left == 0:
                return b""
            self.left -= 1
            body = (b"[" + self.body[1:] if self.first else self.body) + self.body * 20
            self.first = False
            return body + (b"]" if self.left == 0 else b"")

    def peak(count):
        tracemalloc.start()
        found = sum(1 for _ in iter_elements(Endless(count), new_report()))
        assert found == count * 21 * len(CHATS)
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    assert peak(40) < 2 * peak(5)
