"""A real Chromium, and the web app as a person starts it: `python run.py`."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 30_000
"""Milliseconds a page may take where the machine is busy."""
ARTEFACTS = ROOT / "test-artefacts"
"""Screenshots of the last run; not in git."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium or Chrome; where there is none, Playwright's own is installed first."""
    found = next(
        (p for n in ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge") if (p := shutil.which(n))),
        None,
    )
    if found is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found)
        yield browser
        browser.close()


class App(NamedTuple):
    """The running app: its address, its process, and what it said on stderr so far."""

    address: str
    process: subprocess.Popen[str]
    said: list[str]


@contextlib.contextmanager
def run_py(workspace: Path, *, ollama: str = "127.0.0.1:9") -> Generator[str, None, None]:
    """`python run.py` on a free port; gives the address. An Ollama of the machine's own is not part of the test."""
    with run_app(workspace, ollama=ollama) as app:
        yield app.address


@contextlib.contextmanager
def run_app(workspace: Path, within: Sequence[str] = (), *, ollama: str = "127.0.0.1:9") -> Generator[App, None, None]:
    """The same, started by the command `within` where there is one."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("INNERCOUNCIL_", "OLLAMA_"))}
    environment["OLLAMA_HOST"] = ollama
    command = [*within, sys.executable, str(ROOT / "run.py"), "--port", str(free_port()), "--workspace", str(workspace)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=workspace.parent) as process:
        assert process.stderr is not None
        said = [process.stderr.readline()]
        address = re.search(r"http://127\.0\.0\.1:\d+", said[0])
        assert address, said[0] + process.stderr.read()
        drain = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)  # type: ignore[arg-type]
        drain.start()
        try:
            yield App(address[0], process, said)
        finally:
            process.terminate()
            process.wait(20)
            drain.join(5)


def free_port() -> int:
    """A port nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Watched:
    """A page whose errors and foreign requests are collected."""

    def __init__(self, browser: Browser, base: str, *, width: int = 1280, dark: bool = False) -> None:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", accept_downloads=True
        )
        context.set_default_timeout(PATIENCE)
        self.base, self.page, self.problems = base, context.new_page(), list[str]()
        self.page.on("pageerror", lambda e: self.problems.append(f"error: {e}"))
        self.page.on("console", lambda m: self.problems.append(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("request", lambda r: self._foreign(r.url))

    def _foreign(self, url: str) -> None:
        if not url.startswith((self.base + "/", "data:", "blob:")):
            self.problems.append(f"foreign request: {url}")

    def open(self, path: str) -> Page:
        """Go to a page and wait until it has loaded its data."""
        self.page.goto(self.base + path)
        self.page.wait_for_load_state("networkidle")
        return self.page
