"""Character cards in PNG pictures: base64 of the JSON in a tEXt chunk, `ccv3` (preferred) or `chara`.

The picture is never decoded: chunks are checked (length, CRC, order) and copied. Compressed text is not read.
"""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import png as pypng

from innercouncil.cards import character_card
from innercouncil.cards.parsing import decode, dump_json, load_json
from innercouncil.cards.safety import file_label, slug_of
from innercouncil.model.card import CardFile, ImportedCard, Original, PersonaCard
from innercouncil.model.errors import CardError

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEYS: Final = ("ccv3", "chara")
_SIDE: Final = 64


class Chunk(NamedTuple):
    """A chunk of a PNG file."""

    kind: bytes
    body: bytes

    @property
    def key(self) -> str:
        """The key of a text chunk that holds a card, else ""."""
        key = self.body.partition(b"\0")[0].decode("latin-1").lower() if self.kind == b"tEXt" else ""
        return key if key in _KEYS else ""


def recognise(data: bytes) -> bool:
    """Whether the bytes are a PNG picture."""
    return data.startswith(SIGNATURE)


def read(data: bytes, filename: str = "") -> list[ImportedCard]:
    """The card in the picture. Raises CardError."""
    where = file_label(filename)
    chunks = list(_chunks(data, where))
    cards = {chunk.key: chunk for chunk in reversed(chunks) if chunk.key}  # the first of a key counts
    found = cards.get("ccv3") or cards.get("chara")
    if found is None:
        raise CardError(f"{where} is a picture without a character card in it; export the card as PNG or JSON again.")
    where = f"The character card in {where}"
    try:
        text = decode(base64.b64decode(found.body.partition(b"\0")[2]), where)
    except binascii.Error:
        raise CardError(f"{where} is not valid base64; export it again.") from None
    content = load_json(text, where)
    if not character_card.recognise(content):
        raise CardError(f"{where} (`{found.key}`) has none of a card's fields; export it again.")
    card = character_card.read(content)[0]
    kept = _assembled(chunks)
    original = Original(format="card-png", data=card.card.original.data if card.card.original else {}, picture=kept)
    loss = [s for s in card.loss if "version 1" in s]
    imported = character_card.parse(original.data, original, loss)
    if len(kept) < len(data):
        extra = f"{len(data) - len(kept):,} bytes after the end of the picture are not kept."
        return [
            ImportedCard(
                card=imported.card, format="card-png", loss=imported.loss, warnings=(*imported.warnings, extra)
            )
        ]
    return [imported]


def write(card: PersonaCard) -> CardFile:
    """The card in its picture, or in a plain one; other chunks stay as they are."""
    original = card.original if card.original and card.original.format == "card-png" and card.original.picture else None
    chunks = list(_chunks(original.picture if original else _plain_picture(card.name), "The card's picture"))
    has_v2 = original is None or any(chunk.key == "chara" for chunk in chunks)
    if original and original.data.get("spec") == "chara_card_v2":
        built, loss = character_card.build(card, "card-v2")
        payloads = {"chara": built}
    else:
        built, loss = character_card.build(card, "card-v3")
        payloads = {"ccv3": built, **({"chara": character_card.build(card, "card-v2")[0]} if has_v2 else {})}
    content = _assembled(_with_cards(chunks, payloads))
    return CardFile(filename=f"{slug_of(card.name)}.png", media_type="image/png", content=content, loss=tuple(loss))


def _chunks(data: bytes, where: str) -> Iterator[Chunk]:
    """The chunks up to the end of the picture. Raises CardError."""
    at, first = len(SIGNATURE), True
    damaged = CardError(f"{where} is a damaged PNG picture; download or export it again.")
    if not data.startswith(SIGNATURE):
        raise damaged
    while True:
        length = int.from_bytes(data[at : at + 4])
        kind, body, crc = (
            data[at + 4 : at + 8],
            data[at + 8 : at + 8 + length],
            data[at + 8 + length : at + 12 + length],
        )
        if len(crc) != 4 or not kind.isalpha() or zlib.crc32(kind + body) != int.from_bytes(crc):
            raise damaged
        if first and (kind != b"IHDR" or length != 13):
            raise damaged
        yield Chunk(kind, body)
        if kind == b"IEND":
            return
        at, first = at + 12 + length, False


def _assembled(chunks: list[Chunk]) -> bytes:
    parts = [SIGNATURE]
    for kind, body in chunks:
        parts += [len(body).to_bytes(4), kind, body, zlib.crc32(kind + body).to_bytes(4)]
    return b"".join(parts)


def _with_cards(chunks: list[Chunk], payloads: dict[str, dict[str, Any]]) -> list[Chunk]:
    """The chunks with these cards: each in place of the one of its key, or before the end."""
    new = {
        key: Chunk(b"tEXt", key.encode() + b"\0" + base64.b64encode(dump_json(content).rstrip()))
        for key, content in payloads.items()
    }
    result = []
    for chunk in chunks:
        if chunk.kind == b"IEND":
            result += list(new.values())
        if not chunk.key:
            result.append(chunk)
        elif chunk.key in new:
            result.append(new.pop(chunk.key))
    return result


def _plain_picture(name: str) -> bytes:
    """A small square of one colour, which the name decides."""
    hue = zlib.crc32(name.encode("utf-8", "replace"))
    colour = [96 + (hue >> shift) % 128 for shift in (0, 8, 16)]
    target = io.BytesIO()
    pypng.Writer(_SIDE, _SIDE, greyscale=False).write(target, [colour * _SIDE] * _SIDE)
    return target.getvalue()
