"""Named models for llama.cpp, fetched when the person asks for them: with progress, resumed, checked.

Names are those of Ollama's library. Its registry speaks the OCI distribution protocol: a manifest names the GGUF file by
its SHA-256, so what arrives can be checked, and a file Ollama already keeps on this machine is found by the same digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import msgspec
import tenacity

from innercouncil.model.errors import (
    BackendBusyError,
    BackendError,
    BackendGarbageError,
    BackendUnreachableError,
    ModelMissingError,
    WorkspaceError,
)

REGISTRY: Final = "https://registry.ollama.ai"
_MANIFEST_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"
_MODEL_TYPE: Final = "application/vnd.ollama.image.model"
_NAME_RE: Final = re.compile(
    r"(?:(?P<space>[a-z0-9][\w.-]*)/)?(?P<model>[a-z0-9][\w.-]*)(?::(?P<tag>[\w.-]+))?", re.IGNORECASE
)
_CHUNK: Final = 1 << 20
_TRIES: Final = 5


class Fetching(NamedTuple):
    """How far a download is, in bytes."""

    done: int
    total: int


class Blob(NamedTuple):
    """The GGUF file of a named model."""

    digest: str
    """SHA-256, 64 hexadecimal digits."""
    size: int


class ModelFolder:
    """GGUF files by name in `root`: `<name>.gguf` is whole, `<name>.part` is on its way."""

    def __init__(self, root: Path, *, registry: str = REGISTRY) -> None:
        self.root, self._registry = root, registry

    def path(self, name: str) -> Path:
        """Where the model's file is kept. Raises ModelMissingError for a name that cannot be one."""
        space, model, tag = _parts(name)
        stem = "-".join(x for x in ("" if space == "library" else space, model, tag) if x)
        return self.root / f"{stem}.gguf"

    def find(self, name: str) -> Path | None:
        """The model's file if it is here, in this folder or in Ollama's own store."""
        path = self.path(name)
        if path.is_file():
            return path
        space, model, tag = _parts(name)
        store = Path(os.environ.get("OLLAMA_MODELS", "") or Path.home() / ".ollama" / "models")
        manifest = store / "manifests" / "registry.ollama.ai" / space / model / tag
        with contextlib.suppress(OSError, BackendError):
            blob = store / "blobs" / f"sha256-{_blob(manifest.read_bytes(), name).digest}"
            return blob if blob.is_file() else None
        return None

    async def fetch(self, name: str) -> AsyncGenerator[Fetching, None]:
        """Fetch a model, going on where an earlier attempt stopped; the file appears when its checksum is right.

        Raises ModelMissingError for an unknown name, BackendError when the network gives up, WorkspaceError for the disk.
        """
        path = self.path(name)
        part = path.with_suffix(".part")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            async with httpx.AsyncClient(timeout=httpx.Timeout(60, connect=10), follow_redirects=True) as client:
                blob = await self._manifest(client, name)
                retrying = tenacity.AsyncRetrying(
                    retry=tenacity.retry_if_exception(lambda e: isinstance(e, BackendError) and e.retryable),
                    stop=tenacity.stop_after_attempt(_TRIES), wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=20), reraise=True,
                )  # fmt: skip
                async for attempt in retrying:
                    with attempt:
                        async for step in self._body(client, name, blob, part):
                            yield step
                _check(part, blob, name)
                part.replace(path)
        except OSError as error:
            raise WorkspaceError(
                f"Cannot write {part}: {error.strerror or error}; free disk space and ask again."
            ) from error

    async def _manifest(self, client: httpx.AsyncClient, name: str) -> Blob:
        space, model, tag = _parts(name)
        url = f"{self._registry}/v2/{space}/{model}/manifests/{tag}"
        try:
            response = await client.get(url, headers={"Accept": _MANIFEST_TYPE})
        except httpx.TransportError as error:
            raise BackendUnreachableError(
                f"Cannot reach {self._registry} ({type(error).__name__}); check the network, or give the path of a .gguf file."
            ) from error
        if response.status_code == 404:
            raise ModelMissingError(f"There is no model called {name} in Ollama's library; check the name.")
        if response.status_code != 200:
            raise BackendError(f"{self._registry} answered HTTP {response.status_code} for {name}; try again later.")
        return _blob(response.content, name)

    async def _body(
        self, client: httpx.AsyncClient, name: str, blob: Blob, part: Path
    ) -> AsyncGenerator[Fetching, None]:
        space, model, _ = _parts(name)
        have = part.stat().st_size if part.exists() else 0
        if have > blob.size:
            part.unlink()
            have = 0
        yield Fetching(have, blob.size)
        if have == blob.size:
            return
        headers = {"Range": f"bytes={have}-"} if have else {}
        url = f"{self._registry}/v2/{space}/{model}/blobs/sha256:{blob.digest}"
        try:
            async with client.stream("GET", url, headers=headers) as response:
                if response.status_code in (429, 500, 502, 503, 504):
                    raise BackendBusyError(f"{self._registry} answered HTTP {response.status_code}; try again later.")
                if response.status_code not in (200, 206):
                    raise BackendError(f"{self._registry} answered HTTP {response.status_code} for the file of {name}.")
                if response.status_code == 200:
                    have = 0
                with part.open("r+b" if have else "wb") as out:
                    out.seek(have)
                    async for data in response.aiter_bytes(_CHUNK):
                        have += len(data)
                        if have > blob.size:
                            raise BackendGarbageError(f"The file of {name} is longer than announced; try again later.")
                        out.write(data)
                        yield Fetching(have, blob.size)
        except httpx.TransportError as error:
            raise BackendUnreachableError(
                f"The download of {name} broke off ({type(error).__name__}) at {have} of {blob.size} bytes; ask again, it goes on."
            ) from error
        if have < blob.size:
            raise BackendUnreachableError(f"The download of {name} ended early; ask again, it goes on.")


def _parts(name: str) -> tuple[str, str, str]:
    match = _NAME_RE.fullmatch(name)
    if match is None or ".." in name:
        raise ModelMissingError(f"{name[:60]!r} is not the name of a model; write it like qwen2.5:3b.")
    return match["space"] or "library", match["model"], match["tag"] or "latest"


def _blob(manifest: bytes, name: str) -> Blob:
    try:
        layers: list[dict[str, Any]] = msgspec.json.decode(manifest)["layers"]
        layer = next(x for x in layers if x.get("mediaType") == _MODEL_TYPE)
        algorithm, digest = str(layer["digest"]).split(":")
        size = int(layer["size"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, StopIteration, AttributeError):
        raise BackendGarbageError(f"The manifest of {name} is not one of a model; try again later.") from None
    if algorithm != "sha256" or not re.fullmatch(r"[0-9a-f]{64}", digest) or size < 0:
        raise BackendGarbageError(f"The manifest of {name} has no checksum; try again later.")
    return Blob(digest, size)


def _check(part: Path, blob: Blob, name: str) -> None:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != blob.digest:
        part.unlink()
        raise BackendGarbageError(
            f"The file of {name} arrived damaged (its checksum is wrong) and was deleted; ask again."
        )
