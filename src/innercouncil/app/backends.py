"""From the names of two models to two running ones, and what to tell the person where that fails."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
import psutil

from innercouncil.app.council_settings import CouncilSettings
from innercouncil.llm.gate import UNKNOWN, Gate, GatedModel
from innercouncil.llm.memory import KNOWN, Memory, Plan, Shape, measure_memory, plan, read_shape
from innercouncil.llm.select import ModelSpec, parse_model
from innercouncil.model.errors import BackendError, ModelMissingError, UsageError
from innercouncil.model.ports import ChatModel
from innercouncil.store.database import Database

if TYPE_CHECKING:
    from innercouncil.llm.downloads import ModelFolder
    from innercouncil.llm.embedded import EmbeddedHost, EmbeddedServer
    from innercouncil.llm.ollama import Ollama

KEY_VARIABLE: Final = "INNERCOUNCIL_API_KEY"
HOST_VARIABLES: Final = {"api.anthropic.com": "ANTHROPIC_API_KEY", "api.openai.com": "OPENAI_API_KEY"}
"""Variables that hold the key of one host, and go to no other."""
_SERVICE: Final = "innercouncil"
_SETTING: Final = "council"


class Seats(NamedTuple):
    """The two models of a council, ready to be asked."""

    worker: ChatModel
    synthesizer: ChatModel


class Check(NamedTuple):
    """Whether the council's models are there."""

    ready: bool
    problem: str
    """One sentence that says what to do, empty where all is well."""
    worker: str
    synthesizer: str
    remote: tuple[str, ...]
    """Hosts text would be sent to."""


class Backends:
    """Models of a workspace: found, started, kept for the life of the process."""

    def __init__(self, database: Database, workspace: Path) -> None:
        self._db, self._root = database, workspace
        self._host: EmbeddedHost | None = None
        self._former: list[EmbeddedHost] = []
        self._servers: dict[tuple[Path, int, int], EmbeddedServer] = {}
        self._adapters: dict[str, Path] = {}
        self._open: dict[tuple[str, str], ChatModel] = {}
        self._gates: dict[str, Gate] = {}

    # What speaks HTTP is imported when it is needed: the first page does not wait for it.

    @functools.cached_property
    def folder(self) -> ModelFolder:
        """Where named models for llama.cpp are kept."""
        from innercouncil.llm.downloads import REGISTRY, ModelFolder

        root = Path(os.environ.get("INNERCOUNCIL_MODELS", "") or self._root / "models")
        return ModelFolder(root, registry=os.environ.get("INNERCOUNCIL_REGISTRY", "") or REGISTRY)

    @functools.cached_property
    def ollama(self) -> Ollama:
        """Ollama on this machine, or where OLLAMA_HOST says."""
        from innercouncil.llm.ollama import Ollama

        return Ollama()

    @property
    def settings(self) -> CouncilSettings:
        """How the council of this workspace runs."""
        text = self._db.setting(_SETTING)
        if text is None:
            return CouncilSettings()
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(text, type=CouncilSettings)
        return CouncilSettings()

    def change(self, settings: CouncilSettings) -> None:
        """Keep other settings; models that are in memory and no longer used leave it. Raises UsageError for a model
        that cannot be read.
        """
        parse_model(settings.worker)
        parse_model(settings.synthesizer)
        if not 512 <= settings.context_tokens <= 131072 or not 1 <= settings.slots <= 12:
            raise UsageError("context_tokens is 512 to 131072, slots 1 to 12; choose values in between.")
        before = self.settings
        self._db.set(_SETTING, msgspec.json.encode(settings).decode())
        if settings != before:
            self.rest()

    def rest(self) -> None:
        """Let models leave memory, busy ones after their last answer; they come back when they are asked again."""
        self._open.clear()
        if self._host is not None:
            self._host.retire()
            self._former.append(self._host)
            self._host, self._servers = None, {}

    def serve(self, adapters: Mapping[str, Path]) -> None:
        """Load these adapters (name -> GGUF) beside the workers' model, where llama.cpp serves it: requests may name them.

        Others than before need a new process; answers under way are finished by the old one.
        """
        if dict(adapters) != self._adapters:
            self._adapters = dict(adapters)
            if self._servers:
                self.rest()

    def allow(self, host: str) -> None:
        """The person agrees that text is sent to `host`."""
        self._db.set(f"allowed:{host}", "yes")

    def revoke(self, host: str) -> None:
        """The person takes that back."""
        self._db.set(f"allowed:{host}", "no")

    def allowed(self, host: str) -> bool:
        """Whether the person agreed to `host`; this machine needs no consent."""
        return not host or self._db.setting(f"allowed:{host}") == "yes"

    async def seats(self, *, lite: bool = False) -> Seats:
        """The two models, or one for both (`lite`). Raises BackendError where one is not there, UsageError without consent for a remote one."""
        s = self.settings
        worker = await self.resolve(s.worker)
        synthesizer = worker if s.lite or lite else await self.resolve(s.synthesizer)
        for spec in (worker, synthesizer):
            self.consented(spec)
        self._prepare_host(worker, synthesizer, s)
        return Seats(
            self._model(worker, s, synthesizer=False), self._model(synthesizer, s, synthesizer=worker != synthesizer)
        )

    async def open(self, text: str) -> ChatModel:
        """One model by its name, for work outside a session. Raises as `seats` does."""
        s, spec = self.settings, await self.resolve(text)
        self.consented(spec)
        self._prepare_host(spec, spec, s)
        return self._model(spec, s, synthesizer=False)

    def consented(self, spec: ModelSpec) -> None:
        """Raises UsageError where a model is elsewhere and the person has not agreed to its host."""
        if not self.allowed(spec.host):
            raise UsageError(
                f"This would send your texts to {spec.host}. If you agree, say so once: "
                f"`innercouncil models allow {spec.host}`."
            )

    async def check(self) -> Check:
        """Whether a council could be held now; asks the backends, loads nothing."""
        s = self.settings
        names = [s.worker] if s.lite else [s.worker, s.synthesizer]
        problem, labels, hosts = "", [], []
        for name in names:
            try:
                spec = await self.resolve(name)
                labels.append(spec.label)
                if spec.host:
                    hosts.append(spec.host)
                if not self.allowed(spec.host):
                    problem = (
                        problem
                        or f"{spec.host} is not on this machine; agree once with `innercouncil models allow {spec.host}`."
                    )
            except (BackendError, UsageError) as error:
                labels.append(name)
                problem = problem or str(error)
        return Check(not problem, problem, labels[0], labels[-1], tuple(dict.fromkeys(hosts)))

    async def resolve(self, text: str) -> ModelSpec:
        """Find out where a model runs. Raises ModelMissingError that says how to get it."""
        spec = parse_model(text)
        if spec.kind == "gguf":
            if not Path(spec.name).expanduser().is_file():
                raise ModelMissingError(f"There is no model file {spec.name}; give the path of a .gguf file.")
            return spec._replace(name=str(Path(spec.name).expanduser()))
        if spec.kind not in ("auto", "ollama"):
            return spec
        running = await self.ollama.version() is not None
        if running:
            tagged = spec.name if ":" in spec.name else f"{spec.name}:latest"
            for model in await self.ollama.models():
                if model.name == tagged:
                    # A model of Ollama's cloud, or an Ollama on another machine, is not local.
                    there = urlsplit(self.ollama.url).hostname or "" if self.ollama.is_remote else ""
                    host = model.remote_host or there
                    return ModelSpec("ollama", tagged, f"https://{host}" if host and "//" not in host else host)
        if spec.kind == "auto":
            file = self.folder.find(spec.name)
            if file is not None:
                return ModelSpec("gguf", str(file))
        if running:
            raise ModelMissingError(
                f"Ollama runs but does not have {spec.name}; run `innercouncil models pull {spec.name}`."
            )
        raise ModelMissingError(
            f"{spec.name} is not on this machine: start Ollama (https://ollama.com), or run "
            f"`innercouncil models pull {spec.name}` to fetch it for the built-in llama.cpp, or name a file with "
            "`innercouncil models use --worker FILE.gguf --lite`."
        )

    async def identity(self, spec: ModelSpec) -> str:
        """A model by its content, where that can be told: another file under the same name is another model.

        Raises BackendError.
        """
        digest = ""
        if spec.kind == "gguf":
            digest = await asyncio.to_thread(_mark_of, Path(spec.name))
        elif spec.kind == "ollama":
            digest = (await self.ollama.digest(spec.name) or "")[:16]
        return f"{spec.label} {digest}".rstrip()

    def _prepare_host(self, worker: ModelSpec, synthesizer: ModelSpec, s: CouncilSettings) -> None:
        if self._host is not None or "gguf" not in (worker.kind, synthesizer.kind):
            return
        from innercouncil.llm.embedded import EmbeddedHost

        decided = self.plan_for(worker, synthesizer, s, measure_memory())
        self._host = EmbeddedHost(together=decided is None or decided.mode != "phases")

    def plan_for(self, worker: ModelSpec, synthesizer: ModelSpec, s: CouncilSettings, memory: Memory) -> Plan | None:
        """How two models run in `memory`, None where one is remote or its shape unknown."""
        shapes = [shape_of(worker), shape_of(synthesizer)]
        if shapes[0] is None or shapes[1] is None:
            return None
        return plan(shapes[0], shapes[1], s.slots, s.context_tokens, memory)

    def _model(self, spec: ModelSpec, s: CouncilSettings, *, synthesizer: bool) -> ChatModel:
        if spec.kind == "gguf":
            from innercouncil.llm.embedded import EmbeddedModel, EmbeddedServer

            assert self._host is not None
            slots, context = (1, 2 * s.context_tokens) if synthesizer else (s.slots, s.context_tokens)
            key = (Path(spec.name), slots, context)
            if key not in self._servers:
                server = EmbeddedServer(
                    key[0], slots=slots, context_tokens=context, gpu_layers=s.gpu_layers,
                    adapters={} if synthesizer else self._adapters,
                )  # fmt: skip
                self._servers[key] = self._host.add(server)
            gate = self._gate(f"gguf:{key}", slots)
            return GatedModel(EmbeddedModel(key[0].stem, self._servers[key], self._host), gate)
        known = (f"{spec.kind}:{spec.url}:{spec.name}", "synthesizer" if synthesizer else "worker")
        if known not in self._open:
            gate = self._gate(f"{spec.kind}:{spec.url}:{spec.name}", None)
            self._open[known] = GatedModel(self._remote(spec, s, synthesizer=synthesizer), gate)
        return self._open[known]

    def _gate(self, backend: str, slots: int | None) -> Gate:
        """The gate of a backend; what it learns is kept for the next time."""
        if backend not in self._gates:
            known = self.at_once(backend)
            self._gates[backend] = Gate(
                slots=slots, known=known, learnt=lambda seen: self._db.set(f"at_once:{backend}", str(seen))
            )
        return self._gates[backend]

    def at_once(self, backend: str) -> int | None:
        """Answers a backend was seen to write at the same time, None where it never had to queue."""
        text = self._db.setting(f"at_once:{backend}") or ""
        return int(text) if text.isdigit() and 1 <= int(text) <= UNKNOWN else None

    def _remote(self, spec: ModelSpec, s: CouncilSettings, *, synthesizer: bool) -> ChatModel:
        if spec.kind == "ollama":
            from innercouncil.llm.ollama import OllamaModel

            context = 2 * s.context_tokens if synthesizer else s.context_tokens
            return OllamaModel(spec.name, url=self.ollama.url, num_ctx=context, keep_alive=s.keep_alive)
        key = find_key(spec.host)
        if spec.kind == "anthropic":
            if key is None:
                raise UsageError(
                    "There is no key for Anthropic; run `innercouncil models key api.anthropic.com`, or set ANTHROPIC_API_KEY."
                )
            from innercouncil.llm.anthropic import AnthropicModel

            return AnthropicModel(spec.name, key=key)
        from innercouncil.llm.openai_compatible import OpenAIModel

        return OpenAIModel(spec.name, url=spec.url, key=key)

    def resident(self) -> int | None:
        """Bytes llama.cpp's processes hold now, None where none runs or the system does not tell."""
        sizes = []
        for pid in [server.pid for server in self._servers.values()]:
            with contextlib.suppress(psutil.Error):
                if pid is not None:
                    sizes.append(int(psutil.Process(pid).memory_info().rss))
        return sum(sizes) if sizes else None

    def stop(self) -> None:
        """End llama.cpp's processes."""
        for host in (*self._former, *([self._host] if self._host else [])):
            host.stop()


def _mark_of(path: Path) -> str:
    """Digest of a model file's length, beginning and end: gigabytes in between are not read for it."""
    piece, size = 8 << 20, path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(piece))
        file.seek(max(0, size - piece))
        digest.update(file.read(piece))
    return digest.hexdigest()[:16]


def shape_of(spec: ModelSpec) -> Shape | None:
    """Numbers for the memory arithmetic: from the file, or for the default models from a table."""
    if spec.kind == "gguf":
        with contextlib.suppress(OSError, ValueError):
            return read_shape(Path(spec.name), Path(spec.name).stem)
        return None
    return KNOWN.get(spec.name) if spec.kind in ("auto", "ollama") else None


def find_key(host: str) -> str | None:
    """The API key for a host ("" for this machine): what is kept for that host alone comes before `KEY_VARIABLE`."""
    if host:
        if key := os.environ.get(HOST_VARIABLES.get(host, "")):
            return key
        with contextlib.suppress(Exception):
            import keyring

            if key := keyring.get_password(_SERVICE, host):
                return key
    return os.environ.get(KEY_VARIABLE) or None


def keep_key(host: str, key: str) -> None:
    """Put a key into the system's keyring. Raises UsageError where there is none."""
    import keyring
    import keyring.errors

    try:
        keyring.set_password(_SERVICE, host, key)
    except keyring.errors.KeyringError as error:
        raise UsageError(
            f"This system has no keyring that can hold the key ({type(error).__name__}); set INNERCOUNCIL_API_KEY instead."
        ) from error


def forget_key(host: str) -> bool:
    """Take the key for a host out of the system's keyring; False where it holds none. Raises UsageError where there is no
    keyring.
    """
    import keyring
    import keyring.errors

    try:
        if keyring.get_password(_SERVICE, host) is None:
            return False
        keyring.delete_password(_SERVICE, host)
    except keyring.errors.KeyringError as error:
        raise UsageError(f"This system has no keyring that holds keys ({type(error).__name__}).") from error
    return True
