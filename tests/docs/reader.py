"""Someone who reads a page and types its commands, one after the other, in a shell of their own."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docs_commands import ROOT, Command, typed

TYPED = (
    (r"innercouncil evaluate twins", "y\n"),
    (r"innercouncil discover EXPORT --llm embedded", "y\n"),
    (r"innercouncil worth vote", "q\n"),
    (r"innercouncil models key", "a-made-up-key\n"),
)
"""What is typed where a command asks."""
SERVES = r"(python run.py|innercouncil serve)\b"
SECONDS = 240
"""A command that takes longer hangs."""
SHARED = (
    "benchmarks",
    "docs",
    "examples",
    "mkdocs.yml",
    "pyproject.toml",
    "README.md",
    "run.py",
    "scripts",
    "src",
    "tests",
)
"""What of a checkout the commands need; linked into the folder they are typed in."""


class Typed(NamedTuple):
    """What came of a command."""

    code: int
    output: str


class Reader:
    """Types commands in `folder`; `home` is their home folder and `server` where a model is served elsewhere.

    Who `changes` the program works on a copy of it.
    """

    def __init__(self, folder: Path, home: Path, server: tuple[str, str] = ("", ""), *, changes: bool = False) -> None:
        self.folder, self._server = folder, server[0]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("INNERCOUNCIL_", "OLLAMA_", "ANTHROPIC_", "OPENAI_"))}  # fmt: skip
        self._environment = kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "HOME": str(home), "USERPROFILE": str(home),
            "OLLAMA_HOST": "127.0.0.1:9", "OLLAMA_MODELS": str(home / "none"), "COLUMNS": "120", "NO_COLOR": "1",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }  # fmt: skip
        if server[1]:
            self._environment["INNERCOUNCIL_API_KEY"] = server[1]
        self._app: subprocess.Popen[str] | None = None
        if changes:
            self._environment["PYTHONPATH"] = str(folder / "src")
        for name in SHARED:
            if not changes:
                (folder / name).symlink_to(ROOT / name)
            elif (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, folder / name)

    def types(self, command: Command) -> Typed:
        """Type a command and wait for its end, or until it serves."""
        if command.shell == "diff":
            return self._run("git apply -", command.text)
        line = typed(command.text)
        if self._server:
            line = re.sub(r"http://(gpu-box\.lan|127\.0\.0\.1):8000/v1", self._server, line)
        if re.match(SERVES, line):
            return self._serve(line)
        answer = next((said for rule, said in TYPED if re.match(rule, line)), "")
        if not answer:
            return self._run(line, "")
        with _terminal(answer) as theirs:
            return self._run(line, theirs)

    def _run(self, line: str, given: str | int) -> Typed:
        """Run a line; it is given a text, or the terminal it asks at."""
        stdin = {"input": given} if isinstance(given, str) else {"stdin": given}
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", timeout=SECONDS, check=False, start_new_session=True, **stdin,  # type: ignore[call-overload]
        )  # fmt: skip
        return Typed(done.returncode, done.stdout)

    def _serve(self, line: str) -> Typed:
        """Start the app on a free port, look at its first page, and leave it running."""
        self._app = subprocess.Popen(
            ["bash", "-c", f"exec {line} --port {_free_port()}"], cwd=self.folder, env=self._environment, stderr=subprocess.PIPE,
            text=True, encoding="utf-8",
        )  # fmt: skip
        assert self._app.stderr is not None
        said = self._app.stderr.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", said)
        if address is None:
            return Typed(1, said)
        with urllib.request.urlopen(address[0]) as page:
            return Typed(0 if page.status == 200 else 1, said)

    def leave(self) -> None:
        """End what is still running."""
        if self._app is not None:
            self._app.terminate()
            with self._app:
                self._app.wait(20)

    def begin_again(self, workspace: Path) -> None:
        """Put another workspace in place of the one that is there."""
        self.leave()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        shutil.copytree(workspace, self.folder / "data")


@contextlib.contextmanager
def _terminal(answer: str) -> Iterator[int]:
    """A terminal at which `answer` is typed until it is read: what was typed before a hidden question is thrown away."""
    ours, theirs = pty.openpty()
    over = threading.Event()

    def type_it() -> None:
        while not over.wait(0.3):
            os.write(ours, answer.encode())

    hand = threading.Thread(target=type_it)
    hand.start()
    try:
        yield theirs
    finally:
        over.set()
        hand.join()
        os.close(ours)
        os.close(theirs)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
