"""The process that trains: `python -m innercouncil.tuning.child SETTINGS.json`.

Writes an event a line to the progress file, and at the end `result.json` into the run's folder. It stops, with a checkpoint,
when its standard input ends: so it cannot outlive the process that watches it, and an interrupted terminal loses nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from innercouncil.tuning.preferences import continue_from
from innercouncil.tuning.training import RefusedError, train

STOPPED = 3
"""Exit code of a training that was asked to stop."""


def main() -> int:
    """Train and say how it ended by the exit code: 0 finished, 1 failed, STOPPED."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and closes our standard input
    settings = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    stop = threading.Event()
    threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
    with Path(settings["progress"]).open("a", encoding="utf-8") as progress:

        def tell(event: dict[str, Any]) -> None:
            progress.write(json.dumps({k: v for k, v in event.items() if v is not None}) + "\n")
            progress.flush()

        try:
            result = (train if "method" not in settings else continue_from)(settings, tell, stop)
        except RefusedError as error:
            tell({"event": "failed", "reason": error.reason, "text": str(error)})
            return 1
        if result is None:
            return STOPPED
        (Path(settings["run"]) / "result.json").write_text(json.dumps(result), "utf-8")
    return 0


def _wait_for_end(stop: threading.Event) -> None:
    while os.read(0, 1):  # not sys.stdin: a thread that waits in its buffer aborts the interpreter's end
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
