"""Pictures and masks that reach the page of the app: files, the clipboard, the camera, the brush."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from nst_lightning.samples import sample_path
from tests.app.browser import (
    Locator,
    Page,
    Route,
    Site,
    choose_sample,
    expect,
    expect_state,
    open_section,
    replace_picture,
    run_of,
    set_number,
    upload,
    upload_photograph,
    wait_until,
)

COPY = """async (data) => {
  const blob = await (await fetch("data:image/png;base64," + data)).blob();
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
}"""

DROP = """async (element, data) => {
  const blob = await (await fetch("data:image/png;base64," + data)).blob();
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([blob], "dropped.png", { type: "image/png" }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    element.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
  }
}"""


def read_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def read_array(path: str | Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_pictures_are_pasted_photographed_and_dropped(site: Site, tmp_path: Path) -> None:
    """Each way stores the picture that was given; they are told apart by their width."""
    uploads = site.runs / "uploads"

    def encode(width: int) -> str:
        path = tmp_path / f"{width}.png"
        Image.linear_gradient("L").resize((width, 48)).convert("RGB").save(path)
        return base64.b64encode(path.read_bytes()).decode()

    def expect_stored(width: int) -> None:
        def is_stored() -> bool:
            stored = sorted(uploads.glob("*.png"), key=lambda path: path.stat().st_mtime_ns)
            return bool(stored) and read_size(stored[-1])[0] == width

        wait_until(page, is_stored)

    own_photograph, own_style = "Photograph: your own picture", "Style 1: your own picture"
    with site.open(permissions=["clipboard-read", "clipboard-write", "camera"]) as page:
        content, style = page.locator("#content-picture"), page.locator("#style-1")
        page.evaluate(COPY, encode(50))
        page.keyboard.press("ControlOrMeta+V")
        expect_stored(50)
        expect(page.get_by_alt_text(own_photograph)).to_be_visible()
        page.evaluate(COPY, encode(51))
        style.get_by_role("button", name="Paste from clipboard").click()
        expect_stored(51)
        expect(page.get_by_alt_text(own_style)).to_be_visible()
        # Onto a picture that is there, then onto an empty frame.
        content.locator("img").evaluate(DROP, encode(52))
        expect_stored(52)
        style.get_by_role("button", name="Remove Image").click()
        expect(style.locator("img")).to_have_count(0)
        style.get_by_role("button", name="Upload file").click()
        style.locator("[aria-dropeffect]").evaluate(DROP, encode(53))
        expect_stored(53)
        expect(page.get_by_alt_text(own_style)).to_be_visible()
        content.get_by_role("button", name="Capture from camera").click()
        content.get_by_role("button", name="Click to Access Webcam").click()
        capture = content.get_by_role("button", name="capture photo")
        # The page takes no photograph before the first frame of the camera.
        video = content.locator("video")
        wait_until(page, lambda: video.evaluate("video => video.readyState >= 2"))
        before = set(uploads.glob("*.png"))
        capture.click()
        wait_until(page, lambda: set(uploads.glob("*.png")) > before)
        expect(page.get_by_alt_text(own_photograph)).to_be_visible()
        (photograph,) = set(uploads.glob("*.png")) - before
        # The camera of the browser shows a green field.
        red, green, blue = read_array(photograph)[..., :3].mean((0, 1))
        assert green > 2 * max(red, blue)


def test_refused_uploads_leave_the_page_as_it_is(site: Site, tmp_path: Path) -> None:
    with site.open() as page:
        upload_photograph(page)
        text, drawing, broken, large = (
            tmp_path / name for name in ("text.png", "drawing.svg", "broken.png", "large.png")
        )
        text.write_text("not a picture")
        drawing.write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>document.title = "no"</script></svg>')
        noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
        Image.fromarray(noise[:64, :640]).save(broken)
        broken.write_bytes(broken.read_bytes()[:20_000])
        Image.fromarray(noise).save(large)
        for file, good in ((text, "cat"), (broken, "harbour")):
            upload(page, file)
            notice = page.locator("#notice")
            expect(notice).to_contain_text("this file cannot be read")
            assert "\n" not in notice.inner_text().strip()
            assert str(site.runs) not in notice.inner_text()
            # The photograph is still there, and a good picture removes the error.
            expect(page.get_by_alt_text("Photograph: your own picture")).to_be_visible()
            replace_picture(page, sample_path(good))
            expect(notice).not_to_be_visible()
        upload(page, drawing)
        expect(page.get_by_text("but got drawing.svg")).to_be_visible()
        expect(page.get_by_alt_text("Photograph: your own picture")).to_be_visible()
        upload(page, large)
        expect(page.get_by_text("exceed the maximum allowed size")).to_be_visible()
        expect(page.get_by_text("but got drawing.svg")).not_to_be_visible()
        # No picture is shown any more, and none is painted.
        page.locator("#paint").click()
        expect(page.locator("#notice")).to_contain_text("Add a photograph first")


def draw_line(page: Page, editor: Locator, height: float) -> None:
    """Draws over the middle of a picture, at a share of its height."""
    canvas = editor.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    y = box["y"] + height * box["height"]
    page.mouse.move(box["x"] + 0.4 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], y, steps=8)
    page.mouse.up()


def test_drawn_and_uploaded_masks_say_where_the_styles_go(site: Site, tmp_path: Path) -> None:
    with site.open() as page:
        choose_sample(page, "content-picture", "Cat")
        page.get_by_role("button", name="+ Add a style").click()
        open_section(page, "Masks: which style goes where")
        editor = page.locator("#drawing")
        expect(editor.get_by_role("button", name="Undo")).to_be_enabled()
        # The picture arrives after the canvas, and replaces what is drawn before.
        page.wait_for_timeout(1000)
        editor.get_by_role("button", name="Color", exact=True).click()
        editor.get_by_role("button", name="Style 2").click()
        editor.get_by_role("button", name="Brush", exact=True).click()
        draw_line(page, editor, 0.5)
        # What is drawn stays while the section is folded.
        open_section(page, "Masks: which style goes where")
        expect(editor.locator("canvas").first).not_to_be_visible()
        page.wait_for_timeout(1000)
        open_section(page, "Masks: which style goes where")
        expect(editor.locator("canvas").first).to_be_visible()
        page.wait_for_timeout(1000)
        page.locator("#mask-target label", has_text="Style 2").click()
        region = page.locator("#region-2")
        expect(region.get_by_role("button", name="Undo")).to_be_enabled()
        page.wait_for_timeout(1000)
        region.get_by_role("button", name="Brush", exact=True).click()
        draw_line(page, region, 0.5)
        set_number(page, "Size", 32)
        page.locator("#paint").click()
        run = run_of(page, site)
        expect_state(page, "Finished")
        first, second = yaml.safe_load((run / "config.yaml").read_text())["data"]["style"]
        masks = [read_array(style["mask"]) for style in (first, second)]
        # The cat has 640x768 px. What is drawn has the second style, and everything else the first one.
        assert masks[1].shape == (768, 640)
        assert masks[1][384, 320] == 255
        assert masks[1][100, 320] == 0
        np.testing.assert_array_equal(masks[0], 255 - masks[1])
        part = read_array(second["region"])
        assert part[part.shape[0] // 2, part.shape[1] // 2] == 255
        assert part[part.shape[0] // 5, part.shape[1] // 2] == 0
        assert "region" not in first

        page.get_by_role("button", name="Remove all masks").click()
        mask = tmp_path / "mask.png"
        Image.linear_gradient("L").save(mask)
        page.locator("#mask-1").locator("xpath=..").locator("input[type=file]").first.set_input_files(str(mask))
        expect(page.get_by_text("Uploaded masks: style 1.")).to_be_visible()
        open_section(page, "Configuration and command")
        command = page.locator("#command .cm-content")
        expect(command).to_contain_text('"mask":')
        found = re.search(r"--data.style=(\[.*?\])", command.inner_text())
        assert found is not None
        first, second = json.loads(found[1])
        assert first.keys() == {"file", "mask"}
        assert second == {"file": "sample:waves"}
        np.testing.assert_array_equal(read_array(first["mask"]), read_array(mask))


def test_photograph_that_arrives_after_the_masks_are_opened_can_be_masked(site: Site) -> None:
    with site.open() as page:
        page.wait_for_timeout(1000)
        held: list[Route] = []
        page.route("**/queue/join*", lambda route: route.fallback() if held else held.append(route))
        choose_sample(page, "content-picture", "Harbour")
        page.get_by_role("button", name="Masks: which style goes where").click()
        page.wait_for_timeout(2000)
        held[0].fallback()
        expect(page.locator("#drawing canvas").first).to_be_visible()
