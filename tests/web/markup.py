"""Markup that would run where a page took it for its own, and a browser in which nobody stops it."""

from __future__ import annotations

import re

from browser import Watched
from playwright.sync_api import Browser, Route

PAYLOADS = (
    '"><img src=//evil.example/a onerror=pwned=1>',
    "'><svg onload=pwned=2>",
    "</textarea></script><script>pwned=3</script>",
    "javascript:pwned=4",
    "{{7*7}}<details open ontoggle=pwned=5>",
)
ALL = " ".join(PAYLOADS)
MARKDOWN = f"{ALL}\n\n[x](javascript:pwned=6) ![x](//evil.example/b)\n\n```{PAYLOADS[0]}\n{ALL}\n```\n\n<iframe srcdoc='<script>parent.pwned=7</script>'></iframe>"
WATCH = "window.broken = []; addEventListener('securitypolicyviolation', (e) => broken.push(e.violatedDirective + ' ' + e.blockedURI));"
OPEN_ALL = "document.querySelectorAll('details').forEach((d) => { d.open = true; })"


def unhindered(browser: Browser, base: str) -> Watched:
    """A page whose policy tells what it would have stopped, and stops nothing: so it cannot hide a hole."""
    found = Watched(browser, base)

    def only_report(route: Route) -> None:
        answer = route.fetch()
        headers = dict(answer.headers)
        headers["content-security-policy-report-only"] = headers.pop("content-security-policy")
        route.fulfill(response=answer, headers=headers)

    is_page = re.compile(re.escape(base) + r"(?!/api/|/static/)")
    found.page.route(is_page, only_report)
    found.page.add_init_script(WATCH)
    found.page.on("dialog", lambda d: (found.problems.append(f"dialog: {d.message}"), d.dismiss()))
    return found


def check(found: Watched) -> None:
    """Nothing ran, nothing was fetched from elsewhere, and nothing would have been had no policy been there."""
    found.page.wait_for_timeout(150)
    assert found.page.evaluate("window.pwned") is None
    assert found.page.evaluate("window.broken") == []
    # An address that leads nowhere is answered with an error, which Chromium notes.
    assert [p for p in found.problems if "Failed to load resource" not in p] == []
