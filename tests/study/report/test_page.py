"""The page of a study in a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.study.studies import create_section, run_study, write_study

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed (apt-get install chromium)")


@pytest.fixture(scope="module")
def study_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two figures with a failed tile and an empty one."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        axes: dict[str, Any] = {"model.losses.style.weight": [10, 1e6], "data.style": ["style.png", "missing.png"]}
        starts = {"noise": {"model.initialization": "noise"}, "short <b>": {"data.plan.steps": 2}}
        second = create_section(title="Starts & ends", text="<script>alert(1)</script>", axes={"start": starts})
        write_study(folder, create_section(axes=axes), second | {"snapshots": [2, 4]})
        assert run_study() == 1
    return folder / "out" / "index.html"


@pytest.fixture(params=[1280, 390])
def page(study_page: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page at the widths of a desktop and a phone; an error or a missing file fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        browser_page = browser.new_page(viewport={"width": request.param, "height": 800})
        problems: list[str] = []
        browser_page.on("pageerror", lambda error: problems.append(str(error)))
        browser_page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        browser_page.on("requestfailed", lambda request_failed: problems.append(request_failed.url))
        browser_page.goto(study_page.as_uri())
        yield browser_page
        browser.close()
        assert not problems


@needs_browser
def test_page_pictures_load_and_have_a_description(page: Page) -> None:
    page.eval_on_selector_all("img", "images => images.forEach(image => image.loading = 'eager')")
    page.wait_for_function("[...document.querySelectorAll('main img')].every(image => image.complete)")
    pictures = page.eval_on_selector_all(
        "main img", "images => images.map(image => [image.naturalWidth, image.alt, image.src])"
    )
    # The content; a style above its column; the content and the style of the second figure; five tiles; two plots.
    assert len(pictures) == 1 + 1 + 2 + 5 + 2
    assert all(width > 0 and alt for width, alt, _ in pictures)
    assert all(source.startswith("file:") for _, _, source in pictures)


@needs_browser
def test_page_is_not_wider_than_the_screen(page: Page) -> None:
    assert page.viewport_size is not None
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


@needs_browser
def test_page_click_enlarges_and_arrow_keys_switch_pictures(page: Page) -> None:
    tiles = page.locator("button.tile")
    sources = tiles.locator("img").evaluate_all("images => images.map(image => image.src)")
    assert len(sources) == 5
    tiles.nth(0).click()
    shown = page.locator("#shown")
    assert shown.get_attribute("src") == sources[0]
    box, small = shown.bounding_box(), tiles.nth(0).bounding_box()
    assert box is not None
    assert small is not None
    assert box["width"] > 1.5 * small["width"]
    page.keyboard.press("ArrowRight")
    assert shown.get_attribute("src") == sources[1]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert shown.get_attribute("src") == sources[-1]
    page.locator("#next").click()
    assert shown.get_attribute("src") == sources[0]
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()


@needs_browser
@pytest.mark.parametrize("against", ["content", "style"])
def test_page_slider_uncovers_the_picture(page: Page, against: str) -> None:
    page.locator("button.tile").nth(0).click()
    beneath, slider = page.locator("#beneath"), page.locator("#slider")
    assert not slider.is_visible()
    page.select_option("#against", against)
    assert beneath.evaluate("async image => (await image.decode(), image.naturalWidth)") > 0
    slider.fill("20")
    assert beneath.evaluate("image => image.style.clipPath") == "inset(0px 0px 0px 20%)"
    slider.press("ArrowRight")
    assert slider.input_value() == "21"
    assert page.locator("#viewer-title").inner_text().startswith("1 of 5")
    assert beneath.evaluate("image => image.style.clipPath") == "inset(0px 0px 0px 21%)"
    one, other = page.locator("#shown").bounding_box(), beneath.bounding_box()
    assert one == pytest.approx(other, abs=1)
    page.select_option("#against", "")
    assert not beneath.is_visible()


@needs_browser
def test_page_escapes_markup(page: Page) -> None:
    assert page.locator("section p", has_text="<script>alert(1)</script>").count() == 1
    assert page.locator("button.tile", has_text="short <b>").count() == 1


@needs_browser
def test_page_shows_failures_and_links(page: Page, study_page: Path) -> None:
    failed = page.locator(".tile.failed")
    assert failed.count() == 2
    assert "missing.png" in failed.nth(0).inner_text()
    links = page.eval_on_selector_all("a", "links => links.map(link => link.getAttribute('href'))")
    files = [link for link in links if not link.startswith("#")]
    assert len(files) > 10
    assert not [link for link in files if not (study_page.parent / link).exists()]
    assert all(page.locator(f'[id="{link[1:]}"]').count() == 1 for link in links if link.startswith("#"))
