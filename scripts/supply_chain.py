"""What the lock file brings in: a bill of materials, and known vulnerabilities in it.

    python scripts/supply_chain.py sbom [--out sbom.cdx.json]
    python scripts/supply_chain.py audit

`sbom` writes CycloneDX 1.5 JSON of everything in uv.lock (`uv export`). `audit` asks the OSV database about the same
(`uv audit`) and fails where it knows a vulnerability; where the database cannot be reached it says so, and ends well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNREACHABLE = re.compile(
    r"error sending request|dns error|Name or service not known|timed out|connection refused|HTTP status (?:5\d\d|429)",
    re.IGNORECASE,
)


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    # `uv run` names itself to its children, whose environment has no uv.
    own = os.environ.get("UV") or shutil.which("uv")
    command = [own, *arguments] if own else [sys.executable, "-m", "uv", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603


def sbom(out: Path) -> int:
    done = uv(
        "export", "--quiet", "--frozen", "--format", "cyclonedx1.5", "--all-extras", "--all-groups",
        "--preview-features", "sbom-export",
    )  # fmt: skip
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return 1
    out.write_text(done.stdout, "utf-8")
    print(f"{out.name}: {len(json.loads(done.stdout)['components'])} components of uv.lock")
    return 0


def audit(url: str | None) -> int:
    service = ["--service-url", url] if url else []
    done = uv("audit", "--frozen", "--preview-features", "audit-command", *service)
    said = (done.stdout + done.stderr).strip()
    if done.returncode and UNREACHABLE.search(done.stderr) and "error:" in done.stderr:
        print("AUDIT NOT DONE: the OSV database could not be asked from here; nothing is known about the dependencies.")
        return 0
    print(said)
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sbom", "audit"])
    parser.add_argument("--out", type=Path, default=Path("sbom.cdx.json"))
    parser.add_argument("--service-url", help="another OSV server")
    args = parser.parse_args()
    return sbom(args.out) if args.what == "sbom" else audit(args.service_url)


if __name__ == "__main__":
    sys.exit(main())
