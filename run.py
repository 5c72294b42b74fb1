"""Start innercouncil's web app at http://127.0.0.1:5000.

python run.py
python run.py --port 5001 --open
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Serve with this Python, or with uv's where innercouncil is not installed for this one."""
    arguments = ["serve", *sys.argv[1:]]
    if importlib.util.find_spec("innercouncil") is not None:
        from innercouncil.cli.main import cli, run

        return run(cli, arguments)
    if importlib.util.find_spec("uv") is not None:
        folder = str(Path(__file__).resolve().parent)
        command = [sys.executable, "-m", "uv", "run", "--project", folder, "innercouncil", *arguments]
        try:
            return subprocess.call(command)  # noqa: S603 - this project's own command
        except KeyboardInterrupt:
            return 130
    sys.stderr.write("Error: innercouncil is not installed; run `python -m pip install uv` and then this again.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
