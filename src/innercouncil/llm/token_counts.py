"""How many tokens a training row has: by the base model's own GGUF file, by its tokenizer.json, or by an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from innercouncil.llm.embedded import EmbeddedServer
from innercouncil.model.errors import BackendError, UsageError
from innercouncil.model.extras import to_install
from innercouncil.model.ports import ChatTurn
from innercouncil.model.tokens import estimate_tokens

TURN_TOKENS: Final = 5
"""`<|im_start|>`, the role, a line break, `<|im_end|>`, a line break."""
DEFAULT_SYSTEM: Final = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
"""What Qwen2.5's chat template says where a row has no system turn."""


class EstimatedCounter:
    """Counts by words and signs; no file is needed."""

    name = "an estimate, a little high"
    estimated = True

    def count(self, messages: Sequence[ChatTurn]) -> int:
        """Upper estimate of a row's tokens."""
        return sum(estimate_tokens(t.content) + TURN_TOKENS for t in _with_system(messages))

    def close(self) -> None:
        """Nothing is held."""


class FileCounter:
    """Counts by a tokenizer.json, in Qwen2.5's chat template. Raises UsageError where it or the package is missing."""

    estimated = False

    def __init__(self, path: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise UsageError(f"Reading a tokenizer.json needs the package tokenizers; {to_install('onnx')}.") from None
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(path))
        except Exception:  # the package raises bare Exception
            raise UsageError(f"{path} is not a tokenizer.json that can be read; fetch it again.") from None
        self.name = path.name

    def count(self, messages: Sequence[ChatTurn]) -> int:
        """Tokens of a row."""
        text = "".join(f"<|im_start|>{t.role}\n{t.content}<|im_end|>\n" for t in _with_system(messages))
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def close(self) -> None:
        """Nothing is held."""


class GgufCounter:
    """Counts by a GGUF file: llama.cpp, in its own process, applies the file's chat template and its vocabulary."""

    estimated = False

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._server = EmbeddedServer(path, slots=1, context_tokens=512, gpu_layers=0)
        self._client: httpx.Client | None = None

    def count(self, messages: Sequence[ChatTurn]) -> int:
        """Tokens of a row. Raises BackendError."""
        turns = [{"role": t.role, "content": t.content} for t in messages[:-1]]
        prompt = self._asked("/apply-template", {"messages": turns})["prompt"]
        whole = {"content": prompt + messages[-1].content, "add_special": False, "parse_special": True}
        return len(self._asked("/tokenize", whole)["tokens"]) + 2  # the answer's end and a line break

    def _asked(self, path: str, body: dict[str, Any]) -> Any:
        if self._client is None:
            url, key = self._server.start()
            headers = {"Authorization": f"Bearer {key}"}
            self._client = httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False)
        try:
            response = self._client.post(path, json=body)
            response.raise_for_status()
            return response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise BackendError(
                f"llama.cpp could not count tokens with {self.name} ({type(error).__name__}); check the file, or name a "
                "tokenizer.json with --tokenizer."
            ) from None

    def close(self) -> None:
        """End the process."""
        if self._client is not None:
            self._client.close()
        self._server.stop()


Counter = EstimatedCounter | FileCounter | GgufCounter


def open_counter(path: Path | None, base: str) -> Counter:
    """The counter a file allows; None is the estimate. Raises UsageError."""
    if path is None:
        return EstimatedCounter()
    if not path.is_file():
        raise UsageError(f"There is no file {path}; give the path of a .gguf file or of a tokenizer.json.")
    if path.suffix == ".json":
        return FileCounter(path)
    return GgufCounter(path, f"{base} ({path.name[:40]})" if base else path.name[:40])


def _with_system(messages: Sequence[ChatTurn]) -> list[ChatTurn]:
    if messages and messages[0].role == "system":
        return list(messages)
    return [ChatTurn("system", DEFAULT_SYSTEM), *messages]
