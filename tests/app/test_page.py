"""The page of the app in a browser, with the real server and real runs of small pictures."""

import json
import os
import re
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nst_lightning.images.io import read_config
from tests.app.browser import (
    LONG,
    WIDTHS,
    Route,
    Site,
    choose_sample,
    expect,
    expect_state,
    open_section,
    run_of,
    set_number,
    stop,
    upload,
    upload_photograph,
    wait_until,
)


def test_painting_shows_itself_takes_changes_and_is_downloaded(site: Site, tmp_path: Path) -> None:
    with site.open() as page:
        upload_photograph(page)
        page.get_by_role("button", name="+ Add a style").click()
        expect(page.get_by_alt_text("Style 2: sample waves")).to_be_visible()
        set_number(page, "Size", LONG)
        page.locator("#paint").click()
        run = run_of(page, site)
        expect_state(page, "Painting")
        # The photograph, then previews.
        picture = page.locator("#result img")
        for _ in range(2):
            shown = picture.get_attribute("src")
            expect(picture).not_to_have_attribute("src", shown or "")
        steering = run / "steering.yaml"
        open_section(page, "Weights of the losses")
        for label, value, change in (
            ("Weight of style 2", 3.5, {"style_weights": [1.0, 3.5]}),
            ("Strength", 0.25, {"strength": 0.25}),
            ("Style loss", 2, {"weights": {"style": 2000.0}}),
        ):
            set_number(page, label, value)
            wait_until(page, partial(has_changed, steering, change))
        stop(page)
        with page.expect_download() as download:
            page.locator("#picture-download").click()
        saved = tmp_path / download.value.suggested_filename
        download.value.save_as(saved)
        config = yaml.safe_load(read_config(saved))
        assert config["data"]["plan"]["size"] == LONG
        assert [Path(style["file"]).name for style in config["data"]["style"]] == ["sample:swirl", "sample:waves"]
        assert saved.read_bytes() == (run / "stylized.png").read_bytes()

        # A reloaded page has the changed values, and the command repeats the changes.
        page.reload()
        expect_state(page, "Stopped")
        for label, text in (("Weight of style 2", "3.5"), ("Strength", "0.25"), ("Size", str(LONG))):
            expect(page.get_by_label(f"number input for {label}", exact=True)).to_have_value(text)
        open_section(page, "Weights of the losses")
        expect(page.get_by_label("number input for Style loss", exact=True)).to_have_value("2")
        open_section(page, "Configuration and command")
        command, configuration = (page.locator(f"#{name} .cm-content") for name in ("command", "configuration"))
        expect(command).to_contain_text(f"--replay {steering}")
        expect(configuration).to_contain_text("seed_everything: 0")
        open_section(page, "More settings")
        page.get_by_label("Seed", exact=True).fill("7")
        page.get_by_label("Seed", exact=True).press("Enter")
        page.get_by_role("button", name="Show for the current settings").click()
        expect(command).to_contain_text("--seed_everything=7")
        expect(command).to_contain_text("--model.losses.style.weight=2000.0")
        expect(command).not_to_contain_text("--replay")
        expect(configuration).to_contain_text("seed_everything: 7")


def has_changed(steering: Path, change: dict[str, Any]) -> bool:
    """Whether the newest entry of `steering.yaml` has these values."""
    return steering.is_file() and change.items() <= yaml.safe_load(steering.read_text())[-1].items()


def test_result_is_painted_again_and_enlarged(site: Site) -> None:
    with site.open() as page:
        choose_sample(page, "content-picture", "Cat")
        set_number(page, "Size", 32)
        page.locator("#paint").click()
        first = run_of(page, site)
        expect_state(page, "Finished")
        page.get_by_role("button", name="Use as start").click()
        expect(page.get_by_text("Starts from: cat in swirl")).to_be_visible()
        page.locator("#paint").click()
        wait_until(page, lambda: run_of(page, site) != first)
        second = run_of(page, site)
        wait_until(page, (second / "stylized.png").is_file)
        expect_state(page, "Finished")
        assert (second / "start.png").read_bytes() == (first / "stylized.png").read_bytes()
        page.get_by_role("button", name="Start from the photograph instead").click()
        expect(page.get_by_text("Starts from: cat in swirl")).not_to_be_visible()
        page.get_by_role("button", name="Double the size").click()
        wait_until(page, lambda: run_of(page, site) != second)
        third = run_of(page, site)
        wait_until(page, (third / "stylized.png").is_file)
        assert "smallest: 33" in (third / "config.yaml").read_text()


def test_reload_finds_the_run_and_other_tabs_wait_for_it(site: Site) -> None:
    with site.open() as first, site.open() as second:
        choose_sample(first, "content-picture", "Harbour")
        set_number(first, "Size", LONG)
        first.locator("#paint").click()
        run = run_of(first, site)
        expect_state(first, "Painting")
        first.reload()
        expect_state(first, "Painting")
        assert run_of(first, site) == run
        # The form has the values of the run again.
        expect(first.get_by_label("number input for Size", exact=True)).to_have_value(str(LONG))
        expect(first.get_by_alt_text("Photograph: sample harbour")).to_be_visible()
        # An address without the run, as in a new tab of the same browser.
        first.goto(f"{site.url}/")
        expect_state(first, "Painting")

        expect(second.get_by_text("Your painting appears here")).to_be_visible()
        choose_sample(second, "content-picture", "Cat")
        set_number(second, "Size", 32)
        second.locator("#paint").click()
        expect(second.locator("#picture-status")).to_contain_text("position 1 in the queue")
        stop(first)
        expect_state(second, "Finished")
        small = run_of(second, site)
        second.get_by_role("button", name="50 more steps").click()
        wait_until(second, lambda: count_starts(small) == 2)

        second.get_by_role("tab", name="History").click()
        cards = second.get_by_label("Earlier paintings").get_by_role("checkbox")
        expect(cards).not_to_have_count(0)
        check(cards.nth(0))
        second.get_by_role("button", name="Continue with 50 more steps").click()
        wait_until(second, lambda: count_starts(small) == 3)
        assert json.loads((small / "app.json").read_text())["painting"]["more_steps"] == 100

        second.get_by_role("tab", name="History").click()
        check(cards.nth(1))
        expect(second.get_by_alt_text("Picture on the left")).to_be_visible()
        cards.nth(0).uncheck()
        expect(second.get_by_role("button", name="Open")).to_be_enabled()
        second.get_by_role("button", name="Open").click()
        expect_state(second, "Stopped")
        # The address follows the picture.
        wait_until(second, lambda: run_of(second, site) == run)


def check(box: Any) -> None:
    """Checks a box, again if the list is replaced meanwhile."""

    def is_checked() -> bool:
        if not box.is_checked():
            box.click()
        box.page.wait_for_timeout(300)
        return bool(box.is_checked())

    wait_until(box.page, is_checked)


def count_starts(run: Path) -> int:
    """Returns how many processes have painted a run to its end."""
    try:
        starts: int = json.loads((run / "summary.json").read_text())["starts"]
        return starts
    except OSError:
        return 0


def test_failure_and_refusal_are_one_line_and_the_page_stays_alive(site: Site) -> None:
    with site.open() as page:
        choose_sample(page, "content-picture", "Harbour")
        set_number(page, "Size", LONG)
        page.locator("#paint").click()
        run = run_of(page, site)
        expect_state(page, "Painting")
        # As the system does when the memory does not suffice.
        os.kill(json.loads((run / "app.json").read_text())["process"]["pid"], signal.SIGKILL)
        error = page.locator("#picture-status [role=alert]")
        expect(error).to_contain_text(
            "The run was ended by SIGKILL; if the memory did not suffice, choose a smaller size."
        )
        assert "\n" not in error.inner_text().strip()
        assert str(site.runs) not in error.inner_text()
        set_number(page, "Size", 32)
        choose_sample(page, "content-picture", "Cat")
        expect(page.get_by_alt_text("Photograph: sample cat")).to_be_visible()

        def name_other_file(route: Route) -> None:
            body: dict[str, Any] = route.request.post_data_json or {}
            body["data"].append({"path": "/etc/passwd"})
            route.continue_(post_data=json.dumps(body))

        page.route("**/queue/join*", name_other_file)
        page.locator("#paint").click()
        toast = page.get_by_test_id("toast-body")
        expect(toast).to_contain_text("The app refused this action: a file was not uploaded by this page.")
        page.unroute("**/queue/join*")
        page.locator("#paint").click()
        expect_state(page, "Finished")


@pytest.mark.parametrize("width", WIDTHS)
def test_page_fits_the_screen_and_every_element_has_a_name(site: Site, width: int) -> None:
    with site.open(width, color_scheme="dark" if width == 390 else "light", reduced_motion="reduce") as page:
        choose_sample(page, "content-picture", "Harbour")
        page.get_by_role("button", name="+ Add a style").click()
        for section in ("More settings", "Masks: which style goes where", "Loss curves"):
            page.get_by_role("button", name=section).click()
        expect(page.locator("#drawing canvas").first).to_be_visible()
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
    with site.open() as page:
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
        expect(page.get_by_alt_text("Photograph: sample harbour")).to_be_visible()
        set_number(page, "Size", 48)
        page.locator("#paint").focus()
        page.keyboard.press("Enter")
        expect_state(page, "Finished")
        expect(page.locator(".announcement").first).to_have_text("The painting is finished.")
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
    with site.open() as page:
        page.get_by_role("tab", name="Film").click()
        upload(page, clip, "#film-clip")
        expect(page.locator("#film-clip video")).to_have_count(1)
        page.locator("#film-size input[type=number]").fill("32")
        page.locator("#film-size input[type=number]").press("Enter")
        page.locator("#paint-film").click()
        expect(page.locator("#film-status strong")).to_have_text("Finished")
        expect(page.locator("#painted-film video")).to_have_attribute("src", re.compile("mp4"))
