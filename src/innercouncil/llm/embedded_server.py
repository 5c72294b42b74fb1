"""The child process that holds llama.cpp: a crash in native code takes this process, not the web app.

Run as `python -m innercouncil.llm.embedded_server`; the first line of standard input is a `ServerConfig` as JSON. When
the server listens, one line `READY {"url": …}` is written; when standard input ends, the process ends. So it cannot
outlive the process that started it, not even one that was killed.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

import msgspec

READY: Final = "READY "


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is told."""

    path: str
    slots: int
    """Answers at the same time."""
    context_tokens: int
    """Of each slot."""
    threads: int
    gpu_layers: int = -1
    """-1: as many as fit; 0: none."""
    api_key: str
    adapters: tuple[str, ...] = ()


def main() -> None:
    """Serve until standard input ends."""
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=ServerConfig)
    # llama.cpp writes to stdout too; only the READY line may reach the parent there.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    server = _start(config)
    answer.write(READY + msgspec.json.encode({"url": server.listening_address}).decode() + "\n")
    answer.flush()
    while sys.stdin.buffer.read(1 << 16):
        pass
    os._exit(0)


def _start(config: ServerConfig) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = config.path
    params.n_parallel = config.slots
    params.n_ctx = config.slots * config.context_tokens
    params.kv_unified = False
    params.n_gpu_layers = config.gpu_layers
    params.cpuparams.n_threads = config.threads
    params.cpuparams_batch.n_threads = config.threads
    params.n_threads_http = config.slots + 2
    # The prompt cache in RAM compares tokens only, so a prompt stored under one adapter would be used under another
    # (llama.cpp issue 26207).
    params.cache_ram_mib = 0
    params.hostnames = "127.0.0.1" if isinstance(params.hostnames, str) else ["127.0.0.1"]
    params.port = 0
    params.api_keys = [config.api_key]
    params.use_jinja = True
    params.warmup = False
    params.ui = False
    if config.adapters:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 0.0) for path in config.adapters]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
