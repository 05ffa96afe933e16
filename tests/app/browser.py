"""A browser in front of a real server, for the tests of the page."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nst_lightning.samples import sample_path
from tests.helpers import ENVIRONMENT, ROOT

pytest.importorskip("gradio", reason='needs the extra "app"')
pytest.importorskip("playwright.sync_api", reason="needs Playwright")

from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

if BROWSER is None:
    pytest.skip("no Chromium is installed (apt-get install chromium)", allow_module_level=True)

# A process that paints starts in seconds, on a busy machine in many.
PATIENCE = 60_000

WIDTHS = (1280, 390)

# Long enough to be changed while it is painted; the tests stop it.
LONG = 448

# The camera shows a pattern, and nobody is asked for permission.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip


__all__ = ["Locator", "Page", "Route", "expect"]


@dataclass
class Site:
    """A server and a browser.

    Attributes:
        url: address of the page.
        runs: folder of the runs.
        browser: opens pages.
        foreign: addresses on other hosts that a page tried to load.
        problems: errors in the console of the browser.
    """

    url: str
    runs: Path
    browser: Browser
    foreign: list[str]
    problems: list[str]

    @contextmanager
    def open(self, width: int = 1280, path: str = "/", **options: Any) -> Iterator[Page]:
        """Opens the page in a profile of its own."""
        context = self.browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(PATIENCE)
        context.route(re.compile(".*"), self._route)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"{error} {error.stack}"))
        page.goto(self.url + path)
        expect(page.locator("#paint")).to_be_visible()
        yield page
        context.close()

    def _route(self, route: Route) -> None:
        address = route.request.url
        if address.startswith((f"{self.url}/", "data:", "blob:")):
            route.continue_()
        else:
            self.foreign.append(address)
            route.abort()


@contextmanager
def open_site(runs: Path) -> Iterator[Site]:
    """Starts a server that accepts uploads of 1 MB; requests to other hosts and errors in the browser are failures.

    Args:
        runs: folder of the runs.
    """
    expect.set_options(timeout=PATIENCE)
    command = [sys.executable, "-m", "tests.app.forked", "--port=0", f"--runs={runs}", "--no_browser"]
    server = subprocess.Popen(
        [*command, "--max_upload_mb=3"], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT
    )
    assert server.stdout is not None
    url = server.stdout.readline().split()[4].rstrip("/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        site = Site(url, runs, browser, [], [])
        yield site
        browser.close()
    server.terminate()
    server.communicate(timeout=60)
    assert server.returncode == 0
    assert site.foreign == [], site.foreign
    assert site.problems == [], site.problems


def upload(page: Page, file: Path, target: str = "#content-picture") -> None:
    page.set_input_files(f"{target} input[type=file]", str(file))


def upload_photograph(page: Page) -> None:
    upload(page, sample_path("landscape"))
    expect(page.get_by_alt_text("Photograph: your own picture")).to_be_visible()


def replace_picture(page: Page, file: Path) -> None:
    """Uploads another photograph and waits until the page shows the server's copy of it."""
    picture, copy = page.locator("#content-picture img"), re.compile(r"/image\.webp$")
    expect(picture).to_have_attribute("src", copy)
    before = picture.get_attribute("src")
    assert before is not None
    upload(page, file)
    expect(picture).not_to_have_attribute("src", before)
    expect(picture).to_have_attribute("src", copy)


def open_section(page: Page, title: str) -> None:
    page.get_by_role("button", name=title).click()


def choose_sample(page: Page, target: str, name: str) -> None:
    page.locator(f"#{target}-samples label", has_text=name).click()


def set_number(page: Page, label: str, value: float) -> None:
    field = page.get_by_label(f"number input for {label}", exact=True)
    field.fill(str(value))
    field.press("Enter")


def expect_state(page: Page, word: str) -> None:
    expect(page.locator("#picture-status strong")).to_have_text(word)


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    for _ in range(PATIENCE // 50):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("the condition did not become true")


def run_of(page: Page, site: Site) -> Path:
    """Returns the folder of the run that the address of a page names."""
    page.wait_for_url("**/?run=r-*")
    return site.runs / page.url.partition("run=")[2]


def stop(page: Page) -> None:
    page.get_by_role("button", name="Stop and keep").first.click()
    expect_state(page, "Stopped")
