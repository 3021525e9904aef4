"""A headless Chromium that opens pages of `minigen.study` without a network.

It is the one that is installed, as by `apt-get install chromium`, or the one that the variable
CHROMIUM names; playwright, which drives it, downloads nothing.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = "apt-get install chromium, or name one in the variable CHROMIUM"


def executable() -> str | None:
    """The path of a Chromium; None if there is none."""
    own = os.environ.get("CHROMIUM")
    return next(filter(None, map(shutil.which, [own] if own else NAMES)), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """A context with a browser of playwright's."""
    from playwright.sync_api import sync_playwright

    is_root = hasattr(os, "geteuid") and os.geteuid() == 0  # for whom there is no sandbox
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable(), chromium_sandbox=not is_root
        )
        yield browser
        browser.close()


class Opened:
    """A page that is open: tab is playwright's; errors and requests are lists of texts."""

    def __init__(self, tab: Any):
        self.tab, self.errors, self.requests = tab, [], []
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("console", self._said)
        tab.on("request", lambda request: self.requests.append(request.url))

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.tab.keyboard.press(key)

    @property
    def steps(self) -> int:
        """How many steps the page has."""
        return self.tab.evaluate("study.steps")

    @property
    def current(self) -> int:
        """The number of the step that is shown."""
        return self.tab.evaluate("study.current()")

    @property
    def address(self) -> str:
        """What follows # in the address."""
        return self.tab.evaluate("location.hash.slice(1)")

    @property
    def overflow(self) -> int:
        """How many pixels the page is wider than the window."""
        return self.tab.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )


@contextmanager
def opened(
    browser: Any, path: Path, width: int = 1600, height: int = 900, dark: bool = False, at: str = ""
) -> Iterator[Opened]:
    """A context with an opened file, at the step `at`; the network is off."""
    scheme = "dark" if dark else "light"
    size = {"width": width, "height": height}
    context = browser.new_context(viewport=size, color_scheme=scheme)
    context.set_offline(True)
    context.set_default_timeout(15_000)
    page = Opened(context.new_page())
    page.tab.goto(f"{path.absolute().as_uri()}{'#' * bool(at)}{at}")
    page.tab.wait_for_selector("body[data-ready='1']")
    yield page
    context.close()
