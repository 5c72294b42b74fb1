"""How a person names a model: one short string says where it runs and which it is."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from innercouncil.model.errors import UsageError

Kind = Literal["auto", "ollama", "gguf", "openai", "anthropic"]
FORMS = (
    "qwen2.5:3b (Ollama if it runs, else llama.cpp), ollama:NAME, path/to/model.gguf, https://host/v1#MODEL (OpenAI-compatible) "
    "or anthropic:MODEL"
)


class ModelSpec(NamedTuple):
    """A model as named by a person."""

    kind: Kind
    name: str
    """Name of the model at its backend; for GGUF files the path."""
    url: str = ""
    """Base URL, for OpenAI-compatible servers."""

    @property
    def host(self) -> str:
        """Host that text is sent to, empty for this machine."""
        if self.kind == "anthropic":
            return "api.anthropic.com"
        host = urlsplit(self.url).hostname or ""
        return "" if not host or is_loopback(host) else host

    @property
    def label(self) -> str:
        """For a person."""
        where = {"auto": "", "ollama": "Ollama: ", "gguf": "llama.cpp: ", "openai": "", "anthropic": "Anthropic: "}[
            self.kind
        ]
        name = Path(self.name).name if self.kind == "gguf" else self.name
        return f"{where}{name}" + (f" at {urlsplit(self.url).netloc.rpartition('@')[2]}" if self.url else "")


def parse_model(text: str) -> ModelSpec:
    """Read a model string. Raises UsageError that lists the forms.

    >>> parse_model("qwen2.5:3b").kind
    'auto'
    >>> parse_model("http://127.0.0.1:8000/v1#qwen").name
    'qwen'
    """
    text = text.strip()
    if text.startswith(("http://", "https://")):
        url, _, name = text.partition("#")
        if not name or not urlsplit(url).hostname:
            raise UsageError(
                f"{text!r} names no model; write URL#MODEL, e.g. http://127.0.0.1:8000/v1#qwen2.5-3b-instruct."
            )
        if urlsplit(url).password or urlsplit(url).username:
            raise UsageError(
                "Keys do not belong in the URL; use `innercouncil models key HOST` or INNERCOUNCIL_API_KEY."
            )
        return ModelSpec("openai", name, url.rstrip("/"))
    for kind in ("ollama", "anthropic", "gguf"):
        if text.startswith(kind + ":"):
            return ModelSpec(kind, text[len(kind) + 1 :])
    if text.lower().endswith(".gguf"):
        return ModelSpec("gguf", text)
    if not text or any(c.isspace() for c in text) or len(text) > 200:
        raise UsageError(f"{text[:60]!r} is not a model; write {FORMS}.")
    return ModelSpec("auto", text)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
