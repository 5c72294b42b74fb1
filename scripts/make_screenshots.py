"""Take the pictures of docs/img: the app on the bundled example, 1280 and 390 pixels wide, light and dark.

python scripts/make_screenshots.py

No model can be part of a picture that is to be the same on every machine, so what the council says was written for it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "web"))

from browser import chromium, run_py  # noqa: E402
from playwright.sync_api import Browser, Page  # noqa: E402

from scripted_author import speaking  # noqa: E402

TARGET = ROOT / "docs" / "img"
QUALITY = 60
HEIGHTS = {1280: 800, 390: 780}
QUESTION = "Our sourdough shop needs an ordering page. Rewrite the old one or mend it?"
ANSWERS = {
    "software": "Mend it. One failing form is one bug, not a rewrite. Add a test for the order that broke, fix that, ship today.",
    "story": "The old page has a voice your regulars know. A rewrite that loses it loses them. Keep the words, change the counter.",
    "science": "Count first. If fewer than 5 of 100 visitors fail to order, mending pays back sooner: 2 days against about 15.",
    "business": "Could you mend it and, in the same month, plan a replacement? The shop should not be without orders before Christmas.",
}
"""Word of a persona's name -> what it says."""
FINAL = (
    "Mend it now: fix the order that broke and add a test for it [A]. Count how many visitors fail to order before you decide on "
    "more [B]. One dissent is worth keeping: a rewrite that loses the page's voice loses regulars [C]."
)


class Shot(NamedTuple):
    """One picture."""

    name: str
    path: str
    width: int = 1280
    dark: bool = False


SHOTS = (
    Shot("personas", "/personas"), Shot("personas", "/personas", dark=True), Shot("personas", "/personas", 390),
    Shot("persona", "/personas/software-builder"), Shot("persona", "/personas/software-builder", dark=True),
    Shot("persona", "/personas/software-builder", 390, dark=True),
    Shot("session", "/sessions/last"), Shot("session", "/sessions/last", dark=True), Shot("session", "/sessions/last", 390),
    Shot("map", "/map", dark=True), Shot("import", "/import"), Shot("report", "report.html"),
)  # fmt: skip


def said(body: dict[str, Any]) -> str:
    """What the stand-in for a model says to a request."""
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    text = "\n".join(m["content"] for m in body["messages"])
    if schema is not None:
        orders = schema["properties"]["ranking"]["enum"]
        return json.dumps({"reason": "It says what to do first.", "ranking": orders[len(text) % len(orders)]})
    voice = body["messages"][0]["content"].lower()
    return next(
        (answer for word, answer in ANSWERS.items() if f"# {word}" in voice or f"{word} " in voice[:200]), FINAL
    )


def lived_in(folder: Path, model: str) -> str:
    """Discover the example and hold a council with it; gives the session's id."""
    data = str(folder / "data")

    def types(*words: str) -> str:
        command = [sys.executable, "-m", "innercouncil", *words, "--workspace", data]
        done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")  # noqa: S603 - our own
        return done.stdout

    types("discover", str(ROOT / "examples" / "conversations.json"))
    types("models", "use", "--worker", model, "--lite")
    return str(json.loads(types("ask", QUESTION, "--json"))["id"])


def pages(browser: Browser, base: str, folder: Path, session: str) -> Iterator[tuple[Shot, Page]]:
    """Every page, ready for its picture."""
    for shot in SHOTS:
        context = browser.new_context(
            viewport={"width": shot.width, "height": HEIGHTS[shot.width]}, color_scheme="dark" if shot.dark else "light"
        )
        page = context.new_page()
        file = (folder / "data" / shot.path).as_uri()
        page.goto(file if shot.path.endswith(".html") else base + shot.path.replace("last", session))
        page.wait_for_load_state("networkidle")
        yield shot, page
        context.close()


def take(shot: Shot, page: Page) -> Path:
    """Keep a picture of what is seen of a page."""
    target = TARGET / f"{shot.name}-{shot.width}-{'dark' if shot.dark else 'light'}.webp"
    made = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    target.write_bytes(base64.b64decode(made["data"]))
    return target


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home, speaking(said) as model:
        session = lived_in(Path(home), model)
        with run_py(Path(home) / "data") as base, chromium() as browser:
            taken = [take(shot, page) for shot, page in pages(browser, base, Path(home), session)]
    print(f"{len(taken)} pictures, {sum(p.stat().st_size for p in taken) / 1000:.0f} kB in {TARGET}")


if __name__ == "__main__":
    main()
