"""What a page or a style sheet loads from elsewhere without being asked, as a browser would."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_LOADING: dict[str, tuple[str, ...]] = {
    "": ("src", "srcset", "imagesrcset", "poster", "background", "ping", "manifest", "formaction", "longdesc"),
    "object": ("data", "codebase"), "applet": ("codebase",), "base": ("href",), "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"), "feimage": ("href", "xlink:href"), "script": ("href", "xlink:href"), "form": ("action",),
}  # fmt: skip
"""Attributes that hold addresses a browser asks for by itself, or takes for the rest of the page; "" is any element."""
_ONLY_SAYING = {"canonical", "edit", "alternate", "author", "license", "help", "next", "prev", "bookmark"}
"""Relations of a <link> that fetch nothing; every other one may."""
_URL_RE = re.compile(r"""url\(\s*["']?([^"')]*)|@import\s+["']([^"']*)""", re.IGNORECASE)
_REFRESH_RE = re.compile(r"[\d.]*\s*[;,]?\s*(?:url\s*=)?\s*['\"]?(.*)", re.IGNORECASE | re.DOTALL)


def of_page(html: str) -> list[str]:
    """Foreign addresses of a page."""
    page = _Page()
    page.feed(html)
    page.close()
    return page.foreign


def of_styles(css: str) -> list[str]:
    """Foreign addresses of a style sheet."""
    plain = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    plain = re.sub(r"\\([0-9a-fA-F]{1,6})\s?", lambda m: chr(min(int(m[1], 16), 0x10FFFF)), plain)
    return [address for m in _URL_RE.finditer(plain) if _is_foreign(address := m[1] or m[2] or "")]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.foreign: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in reversed(attrs)}  # of two, a browser takes the first
        self._style = tag == "style"
        for name in (*_LOADING[""], *_LOADING.get(tag, ())):
            many = re.split(r"[\s,]+", given.get(name, "")) if name.endswith("srcset") else [given.get(name, "")]
            self.foreign += filter(_is_foreign, many)
        if tag == "link" and not set(given.get("rel", "").lower().split()) <= _ONLY_SAYING | {""}:
            self.foreign += filter(_is_foreign, [given.get("href", "")])
        if tag == "meta" and given.get("http-equiv", "").strip().lower() == "refresh":
            told = _REFRESH_RE.fullmatch(given.get("content", "").strip())
            self.foreign += filter(_is_foreign, [told[1] if told else ""])
        self.foreign += of_styles(given.get("style", ""))
        self.foreign += of_page(given.get("srcdoc", ""))

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        if self._style:
            self.foreign += of_styles(data)

    def handle_endtag(self, tag: str) -> None:
        self._style = False


def _is_foreign(address: str) -> bool:
    plain = re.sub(r"[\t\n\r]", "", address).strip("\x00 \x1f").replace("\\", "/").lower()
    return plain.startswith("//") or re.match(r"(?:https?|wss?|ftp):", plain) is not None
