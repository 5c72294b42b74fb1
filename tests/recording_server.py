"""The failing server, never failing, that keeps every request it was sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "app"))

from faulty_server import FaultyServer


class RecordingServer(FaultyServer):
    """`bodies` are the requests, oldest first."""

    def __init__(self, share: float = 0) -> None:
        self.bodies: list[dict[str, Any]] = []
        super().__init__(share, plan=self._keep)

    def _keep(self, body: dict[str, Any]) -> str:
        if "messages" in body:
            self.bodies.append(body)
        return ""
