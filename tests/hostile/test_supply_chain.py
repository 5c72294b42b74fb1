"""The bill of materials holds the whole lock file; the audit fails on a known fault, and says so where it cannot ask."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"UV_HTTP_RETRIES": "0"}
    command = [sys.executable, str(ROOT / "scripts" / "supply_chain.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_bill_of_materials_is_the_lock_file(tmp_path: Path) -> None:
    out = tmp_path / "sbom.json"
    done = script("sbom", "--out", str(out))
    assert done.returncode == 0, done.stderr
    bill = json.loads(out.read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    locked = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    wanted = {(p["name"], p["version"]) for p in locked if "version" in p}
    assert {(c["name"], c["version"]) for c in bill["components"]} == wanted
    assert all(c["purl"].startswith("pkg:pypi/") for c in bill["components"])
    hosts = {r["url"].split("/")[2] for c in bill["components"] for r in c.get("externalReferences", [])}
    assert hosts == {"files.pythonhosted.org"}


@contextlib.contextmanager
def advisories(status: int, vulnerable: str = "") -> Iterator[str]:
    """An OSV server that knows one fault in one package."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
            hit = {"vulns": [{"id": "X-1", "modified": "2026-01-01T00:00:00Z"}]}
            self.reply({"results": [hit if q["package"]["name"] == vulnerable else {} for q in asked]})

        def do_GET(self) -> None:
            when = "2026-01-01T00:00:00Z"
            package = {"name": vulnerable, "ecosystem": "PyPI"}
            self.reply(
                {"id": "X-1", "modified": when, "published": when, "summary": "bad", "affected": [{"package": package}]}
            )

        def reply(self, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("vulnerable", "code"), [("jinja2", 1), ("", 0)])
def test_a_known_fault_fails_the_audit(vulnerable: str, code: int) -> None:
    with advisories(200, vulnerable) as url:
        done = script("audit", "--service-url", url)
    assert done.returncode == code, done.stdout
    assert ("X-1" in done.stdout) == bool(vulnerable)
    assert "AUDIT NOT DONE" not in done.stdout


def test_a_database_that_cannot_be_reached_is_told() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = script("audit", "--service-url", f"http://127.0.0.1:{closed.getsockname()[1]}/")
    assert done.returncode == 0
    assert done.stdout.startswith("AUDIT NOT DONE")


def test_any_other_failure_of_the_audit_fails() -> None:
    with advisories(404) as url:
        done = script("audit", "--service-url", url)
    assert done.returncode != 0
    assert "AUDIT NOT DONE" not in done.stdout
