"""benchmarks/soak.py, in small: sessions against a backend that fails and hangs, some stopped and resumed; nothing lost, nothing left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parent.parent.parent / "benchmarks" / "soak.py"


def test_every_session_is_kept_and_ended_and_nothing_is_left_behind() -> None:
    command = [sys.executable, str(SOAK), "--sessions", "20", "--share", "0.5", "--seed", "3", "--patience", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    assert done.returncode == 0, result
    assert (result["kept"], result["running"], result["hollow"]) == (20, 0, 0)
    assert set(result["answers"]) > {"ok"}, "some answers failed"
    assert result["requests"]["hang"] > 0
    assert result["requests"]["stall"] > 0
