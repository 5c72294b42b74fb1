"""The model a person names with `--llm`, as the label stage wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from innercouncil.app.backends import Backends
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.discovery.model_labels import Estimate
from innercouncil.llm.select import parse_model
from innercouncil.model.errors import UsageError
from innercouncil.model.ports import ChatModel
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace

DEFAULT_BUDGET = 1000
"""Messages to ask about where nothing else is said."""


class LabellingModel:
    """A `Helper` on one of the council's backends."""

    def __init__(
        self, workspace: Workspace, name: str, *, budget: int, agrees: Callable[[Estimate, str, bool], bool]
    ) -> None:
        workspace.prepare()
        self._database = Database(workspace.database)
        self._backends = Backends(self._database, workspace.root)
        self._name, self._budget, self._agrees = name, budget, agrees
        try:
            spec = asyncio.run(self._backends.resolve(name))
            self._backends.consented(spec)
        except BaseException:
            self._database.close()
            raise
        self._spec = spec

    @property
    def label(self) -> str:
        """Where it runs and its name."""
        return self._spec.label

    @property
    def budget(self) -> int:
        """Most messages to ask about."""
        return self._budget

    @property
    def remote(self) -> bool:
        """Whether texts leave this machine."""
        return bool(self._spec.host)

    def agrees(self, estimate: Estimate) -> bool:
        """Ask the person."""
        return self._agrees(estimate, self.label, self.remote)

    async def open(self) -> ChatModel:
        """The model, ready to be asked. Raises BackendError."""
        return await self._backends.open(self._name)

    async def close(self) -> None:
        """Let go of the model."""
        await asyncio.to_thread(self._backends.stop)

    def release(self) -> None:
        """Close the database."""
        self._backends.stop()
        self._database.close()


def model_name(llm: str, name: str | None) -> str:
    """What `--llm` and `--llm-model` mean together, as llm/select.py writes it. Raises UsageError.

    >>> model_name("ollama", None)
    'ollama:qwen2.5:3b'
    >>> model_name("http://127.0.0.1:8000/v1", "qwen")
    'http://127.0.0.1:8000/v1#qwen'
    """
    default = CouncilSettings().worker
    if llm == "ollama":
        text = f"ollama:{name or default}"
    elif llm == "embedded":
        text = name or default
    elif llm == "anthropic":
        text = f"anthropic:{name or ''}"
    elif llm.startswith(("http://", "https://")):
        text = llm if "#" in llm and not name else f"{llm}#{name or ''}"
    else:
        raise UsageError(
            f"--llm is ollama, embedded, anthropic or the URL of an OpenAI-compatible server, not {llm[:60]!r}."
        )
    if text.endswith((":", "#")):
        raise UsageError(f"Say which model of {llm}: add --llm-model NAME.")
    parse_model(text)
    return text
