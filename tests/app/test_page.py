"""The page of the app in a browser, with the real server and real runs of small pictures."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from nst_lightning.images.io import read_config
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

    def open(self, width: int = 1280, path: str = "/", **options: Any) -> Page:
        """Opens the page in a profile of its own."""
        context = self.browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.route(re.compile(".*"), self._route)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(self.url + path)
        expect(page.locator("#paint")).to_be_visible(timeout=PATIENCE)
        return page

    def _route(self, route: Route) -> None:
        address = route.request.url
        if address.startswith((f"{self.url}/", "data:", "blob:")):
            route.continue_()
        else:
            self.foreign.append(address)
            route.abort()

    def list_runs(self) -> list[Path]:
        """Lists the folders of the runs, the oldest first."""
        return sorted(self.runs.glob("r-*"), key=lambda folder: (folder / "app.json").stat().st_ctime_ns)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that accepts uploads of 1 MB; requests to other hosts fail the tests."""
    runs = tmp_path_factory.mktemp("app") / "runs"
    command = [sys.executable, "-m", "nst_lightning", "app", "--port=0", f"--runs={runs}", "--no_browser"]
    server = subprocess.Popen(
        [*command, "--max_upload_mb=1"], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT
    )
    assert server.stdout is not None
    url = server.stdout.readline().split()[4].rstrip("/")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=[*arguments, "--disable-sync"])
        started = Site(url, runs, browser, [], [])
        yield started
        browser.close()
    server.terminate()
    server.communicate(timeout=60)
    assert server.returncode == 0
    assert started.foreign == []
    assert started.problems == []


def upload(page: Page, file: Path, target: str = "#content-picture") -> None:
    page.set_input_files(f"{target} input[type=file]", str(file))


def upload_photograph(page: Page) -> None:
    upload(page, sample_path("landscape"))
    expect(page.get_by_alt_text("Photograph: your own picture")).to_be_visible(timeout=PATIENCE)


def choose_sample(page: Page, target: str, name: str) -> None:
    page.locator(f"#{target}-samples label", has_text=name).click()


def set_number(page: Page, label: str, value: float) -> None:
    field = page.get_by_label(f"number input for {label}", exact=True)
    field.fill(str(value))
    field.press("Enter")


def expect_state(page: Page, word: str) -> None:
    expect(page.locator("#picture-status strong")).to_have_text(word, timeout=PATIENCE)


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    for _ in range(PATIENCE // 200):
        if condition():
            return
        page.wait_for_timeout(200)
    raise AssertionError("the condition did not become true")


def run_of(page: Page, site: Site) -> Path:
    """Returns the folder of the run that the address of a page names."""
    page.wait_for_url("**/?run=r-*", timeout=PATIENCE)
    return site.runs / page.url.partition("run=")[2]


def stop(page: Page) -> None:
    page.get_by_role("button", name="Stop and keep").first.click()
    expect_state(page, "Stopped")


def test_painting_shows_itself_takes_changes_and_is_downloaded(site: Site, tmp_path: Path) -> None:
    page = site.open()
    upload_photograph(page)
    page.get_by_role("button", name="+ Add a style").click()
    expect(page.get_by_alt_text("Style 2: sample waves")).to_be_visible(timeout=PATIENCE)
    set_number(page, "Size", LONG)
    page.locator("#paint").click()
    run = run_of(page, site)
    expect_state(page, "Painting")
    # The photograph, then previews.
    picture = page.locator("#result img")
    for _ in range(2):
        shown = picture.get_attribute("src", timeout=PATIENCE)
        expect(picture).not_to_have_attribute("src", shown or "", timeout=PATIENCE)
    set_number(page, "Weight of style 2", 3.5)
    steering = run / "steering.yaml"
    wait_until(page, steering.is_file)
    assert yaml.safe_load(steering.read_text())[0]["style_weights"] == [1.0, 3.5]
    set_number(page, "Strength", 0.25)
    wait_until(page, lambda: any(change.get("strength") == 0.25 for change in yaml.safe_load(steering.read_text())))
    stop(page)
    with page.expect_download() as download:
        page.locator("#picture-download").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    config = yaml.safe_load(read_config(saved))
    assert config["data"]["plan"]["size"] == LONG
    assert [Path(style["file"]).name for style in config["data"]["style"]] == ["sample:swirl", "sample:waves"]
    assert saved.read_bytes() == (run / "stylized.png").read_bytes()
    page.context.close()


def test_reload_finds_the_run_and_other_tabs_wait_for_it(site: Site) -> None:
    first = site.open()
    upload_photograph(first)
    set_number(first, "Size", LONG)
    first.locator("#paint").click()
    run = run_of(first, site)
    expect_state(first, "Painting")
    first.reload()
    expect_state(first, "Painting")
    assert run_of(first, site) == run
    # The form has the values of the run again.
    expect(first.get_by_label("number input for Size", exact=True)).to_have_value(str(LONG))
    expect(first.get_by_alt_text("Photograph: your own picture")).to_be_visible(timeout=PATIENCE)
    # An address without the run, as in a new tab of the same browser.
    first.goto(f"{site.url}/")
    expect_state(first, "Painting")

    second = site.open()
    expect(second.get_by_text("Your painting appears here")).to_be_visible()
    choose_sample(second, "content-picture", "Cat")
    set_number(second, "Size", 48)
    second.locator("#paint").click()
    expect(second.locator("#picture-status")).to_contain_text("position 1 in the queue", timeout=PATIENCE)
    stop(first)
    expect_state(second, "Finished")
    second.get_by_role("button", name="50 more steps").click()
    expect_state(second, "Finished")
    wait_until(second, lambda: json.loads((run_of(second, site) / "summary.json").read_text())["starts"] == 2)

    history = second
    history.get_by_role("tab", name="History").click()
    cards = history.get_by_label("Earlier paintings").get_by_role("checkbox")
    expect(cards).not_to_have_count(0)
    cards.nth(0).check()
    expect(history.get_by_role("button", name="Open")).to_be_enabled()
    cards.nth(1).check()
    expect(history.get_by_alt_text("Picture on the left")).to_be_visible(timeout=PATIENCE)
    cards.nth(0).uncheck()
    expect(history.get_by_role("button", name="Open")).to_be_enabled()
    history.get_by_role("button", name="Open").click()
    expect_state(history, "Stopped")
    # The address follows the picture.
    wait_until(history, lambda: run_of(history, site) == run)
    first.context.close()
    second.context.close()


def draw_line(page: Page, editor: Locator, height: float) -> None:
    """Draws over the middle half of a picture, at a share of its height."""
    editor.locator("canvas").first.scroll_into_view_if_needed()
    box = editor.locator("canvas").first.bounding_box()
    assert box is not None
    y = box["y"] + height * box["height"]
    page.mouse.move(box["x"] + 0.4 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], y, steps=8)
    page.mouse.up()


def test_drawn_masks_say_where_the_styles_go(site: Site) -> None:
    page = site.open()
    choose_sample(page, "content-picture", "Cat")
    page.get_by_role("button", name="+ Add a style").click()
    page.get_by_role("button", name="Masks: which style goes where").click()
    editor = page.locator("#drawing")
    expect(editor.get_by_role("button", name="Undo")).to_be_enabled(timeout=PATIENCE)
    page.wait_for_timeout(1000)
    editor.get_by_role("button", name="Color", exact=True).click()
    editor.get_by_role("button", name="Style 2").click()
    editor.get_by_role("button", name="Brush", exact=True).click()
    draw_line(page, editor, 0.5)
    set_number(page, "Size", 48)
    page.locator("#paint").click()
    run = run_of(page, site)
    expect_state(page, "Finished")
    first, second = yaml.safe_load((run / "config.yaml").read_text())["data"]["style"]
    masks = [np.asarray(Image.open(style["mask"])) for style in (first, second)]
    # The cat has 640x768 px. What is drawn has the second style, and everything else the first one.
    assert masks[1].shape == (768, 640)
    assert masks[1][384, 320] == 255
    assert masks[1][100, 320] == 0
    np.testing.assert_array_equal(masks[0], 255 - masks[1])
    page.context.close()


def test_refused_uploads_leave_the_page_as_it_is(site: Site, tmp_path: Path) -> None:
    page = site.open()
    upload_photograph(page)
    text, drawing, broken, large = (tmp_path / name for name in ("text.png", "drawing.svg", "broken.png", "large.png"))
    text.write_text("not a picture")
    drawing.write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>document.title = "no"</script></svg>')
    noise = np.random.default_rng(0).integers(0, 256, (640, 640, 3), dtype=np.uint8)
    Image.fromarray(noise[:64]).save(broken)
    broken.write_bytes(broken.read_bytes()[:20_000])
    Image.fromarray(noise).save(large)
    for file, good in ((text, "cat"), (broken, "harbour")):
        upload(page, file)
        notice = page.locator("#notice")
        expect(notice).to_contain_text("this file cannot be read", timeout=PATIENCE)
        assert "\n" not in notice.inner_text().strip()
        assert str(site.runs) not in notice.inner_text()
        # The photograph is still there, and a good picture removes the error.
        expect(page.get_by_alt_text("Photograph: your own picture")).to_be_visible()
        with page.expect_response(re.compile(r"/image\.webp$"), timeout=PATIENCE):
            upload(page, sample_path(good))
        expect(notice).not_to_be_visible(timeout=PATIENCE)
    upload(page, drawing)
    expect(page.get_by_text("but got drawing.svg")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_alt_text("Photograph: your own picture")).to_be_visible()
    upload(page, large)
    expect(page.get_by_text("exceed the maximum allowed size")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("but got drawing.svg")).not_to_be_visible()
    # No picture is shown any more, and none is painted.
    page.locator("#paint").click()
    expect(page.locator("#notice")).to_contain_text("Add a photograph first", timeout=PATIENCE)
    page.context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_page_fits_the_screen_and_every_element_has_a_name(site: Site, width: int) -> None:
    page = site.open(width, color_scheme="dark" if width == 390 else "light", reduced_motion="reduce")
    choose_sample(page, "content-picture", "Harbour")
    page.get_by_role("button", name="+ Add a style").click()
    for section in ("More settings", "Masks: which style goes where", "Loss curves"):
        page.get_by_role("button", name=section).click()
    expect(page.locator("#drawing canvas").first).to_be_visible(timeout=PATIENCE)
    if width == 1280:
        # Without scrolling: the inputs, the button and the result.
        for selector in ("#content-picture", "#style-1", "#result"):
            box = page.locator(selector).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= 900
    for tab in ("Picture", "Film", "History"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.evaluate(FIND_NAMELESS) == []
    page.context.close()


def test_photograph_that_arrives_after_the_masks_are_opened_can_be_masked(site: Site) -> None:
    page = site.open()
    page.wait_for_timeout(1000)
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: route.fallback() if held else held.append(route))
    choose_sample(page, "content-picture", "Harbour")
    page.get_by_role("button", name="Masks: which style goes where").click()
    page.wait_for_timeout(2000)
    held[0].fallback()
    expect(page.locator("#drawing canvas").first).to_be_visible(timeout=PATIENCE)
    page.context.close()


# Elements that can be used or seen, and that have no name for a screen reader.
FIND_NAMELESS = """() => {
  const isShown = (e) => e.checkVisibility() && e.getClientRects().length > 0;
  const text = (e) => e?.textContent?.trim();
  const hasName = (e) => e.ariaLabel?.trim() || text(document.getElementById(e.getAttribute("aria-labelledby")))
    || [...(e.labels ?? [])].some(text) || e.title || (e.matches("button, [role=button], [role=tab], a") && text(e));
  const used = [...document.querySelectorAll("input, select, textarea, button, a[href], [role=slider], [role=button]")];
  const nameless = used.filter((e) => isShown(e) && !hasName(e));
  const pictures = [...document.querySelectorAll("img, svg[role=img]")].filter((e) => isShown(e));
  const silent = pictures.filter((e) => !(e.alt?.trim() || e.ariaLabel));
  const groups = [...document.querySelectorAll("fieldset")].filter((e) => isShown(e) && !e.ariaLabel);
  return [...nameless, ...silent, ...groups].map((e) => e.outerHTML.slice(0, 300));
}"""


def test_keyboard_reaches_the_inputs_in_order_and_paints(site: Site) -> None:
    page = site.open()
    order: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => {
              const e = document.activeElement;
              const style = getComputedStyle(e.matches("[type=radio]") ? e.closest("label") : e);
              return [e.closest("[id]")?.id, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
            }"""
        )
        assert place[1], f"the focus on {place[0]} is not visible"
        order.append(place[0])
        if place[0] == "content-picture-samples" and order.count(place[0]) == 1:
            page.keyboard.press("Space")
        if place[0] == "paint":
            break
    reached = list(dict.fromkeys(order))
    expected = ["content-picture", "content-picture-samples", "style-1", "style-1-samples", "range_id_0", "paint"]
    assert [place for place in reached if place in expected] == expected
    expect(page.get_by_alt_text("Photograph: sample harbour")).to_be_visible(timeout=PATIENCE)
    set_number(page, "Size", 48)
    page.locator("#paint").focus()
    page.keyboard.press("Enter")
    expect_state(page, "Finished")
    expect(page.locator(".announcement").first).to_have_text("The painting is finished.", timeout=PATIENCE)
    assert page.locator(".announcement").first.get_attribute("aria-live") == "polite"
    page.locator(".compare label", has_text="Photograph").click()
    handle = page.get_by_role("slider", name="Position of the comparison")
    handle.focus()
    before = handle.bounding_box()
    page.keyboard.press("ArrowLeft")
    after = handle.bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] < before["x"]
    page.context.close()


def test_film_is_painted_and_played(site: Site, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason='needs the extra "video"')
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for number in range(2):
            pixels = np.full((32, 48, 3), 60 * number, np.uint8)
            pixels[8:24, 8 + 4 * number : 24 + 4 * number] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    page = site.open()
    page.get_by_role("tab", name="Film").click()
    upload(page, clip, "#film-clip")
    expect(page.locator("#film-clip video")).to_have_count(1, timeout=PATIENCE)
    page.locator("#film-size input[type=number]").fill("32")
    page.locator("#film-size input[type=number]").press("Enter")
    page.locator("#paint-film").click()
    expect(page.locator("#film-status strong")).to_have_text("Finished", timeout=PATIENCE)
    expect(page.locator("#painted-film video")).to_have_attribute("src", re.compile("mp4"), timeout=PATIENCE)
    page.context.close()
