"""Parts of the page without a browser: masks, curves, texts, the form."""

import asyncio
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

pytest.importorskip("gradio", reason='needs the extra "app"')

from nst_lightning.app.history import RunView, apply_changes
from nst_lightning.app.painting import Painting, StyleInput
from nst_lightning.app.ui.loss_chart import HEIGHT, POINTS, WIDTH, draw_curves
from nst_lightning.app.ui.mask_brush import STYLE_COLORS, split_drawing
from nst_lightning.app.ui.painting_form import PaintingForm
from nst_lightning.app.ui.painting_tab import add_painting_tab
from nst_lightning.app.ui.status_text import announce, format_notice, format_seconds, format_status, measure_progress
from nst_lightning.app.uploads import UploadStore
from nst_lightning.errors import InputError
from nst_lightning.training.steering import STEERING_NAME, Steering, SteeringStep, write_steering


def make_drawing(*rows: tuple[str, int]) -> dict[str, Any]:
    """Returns the value of an editor with a layer that has a row of 4 px for each color and opacity."""
    pixels = [[(*ImageColor.getrgb(color), opacity)] * 4 for color, opacity in rows]
    return {"layers": [Image.fromarray(np.array(pixels, np.uint8), "RGBA")], "background": None, "composite": None}


def read_rows(masks: list[Image.Image | None]) -> list[list[int] | None]:
    """Returns the first column of each mask."""
    return [None if mask is None else np.asarray(mask)[:, 0].tolist() for mask in masks]


def test_each_color_of_a_drawing_becomes_the_mask_of_its_style() -> None:
    drawing = make_drawing((STYLE_COLORS[0], 255), (STYLE_COLORS[1], 255), (STYLE_COLORS[2], 128), ("black", 0))
    assert read_rows(split_drawing(drawing, 3)) == [[255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 128, 0]]


def test_styles_without_a_color_share_what_is_not_drawn_on() -> None:
    drawing = make_drawing((STYLE_COLORS[1], 255), (STYLE_COLORS[1], 64), ("black", 0))
    rest = [0, 191, 255]
    assert read_rows(split_drawing(drawing, 3)) == [rest, [255, 64, 0], rest]


def test_smoothed_color_belongs_to_the_nearest_style() -> None:
    red, green, blue = ImageColor.getrgb(STYLE_COLORS[1])[:3]
    drawing = make_drawing((f"#{red - 20:02x}{green + 20:02x}{blue + 9:02x}", 255), (STYLE_COLORS[0], 255))
    assert read_rows(split_drawing(drawing, 2)) == [[0, 255], [255, 0]]
    # A color of a style that was removed belongs to the nearest one that is left.
    assert read_rows(split_drawing(make_drawing((STYLE_COLORS[3], 255)), 1)) == [[255]]


@pytest.mark.parametrize("drawing", [None, {}, {"layers": []}, {"layers": None}, make_drawing(("red", 0))])
def test_empty_drawing_has_no_masks(drawing: dict[str, Any] | None) -> None:
    assert split_drawing(drawing, 2) == [None, None]


def read_trace(html: str) -> list[tuple[float, float]]:
    (points,) = re.findall(r'<polyline points="([^"]*)"', html)
    return [(float(x), float(y)) for x, y in (point.split(",") for point in points.split())]


def test_curve_is_logarithmic_and_fills_its_chart() -> None:
    trace = read_trace(draw_curves({"step": [0, 1, 3, 4], "style": [1000.0, 100.0, 10.0, 1.0]}))
    assert [x for x, _ in trace] == [0, WIDTH / 4, 3 * WIDTH / 4, WIDTH]
    # Equal ratios have equal distances, within the rounding to a tenth; the largest value is at the top.
    np.testing.assert_allclose([y for _, y in trace], np.linspace(2, HEIGHT - 2, 4), atol=0.051)


def test_values_without_a_logarithm_are_left_out_of_a_curve() -> None:
    html = draw_curves({"step": [0, 1, 2, 3, 4], "style": [10.0, 0.0, math.nan, math.inf, 1.0]})
    assert read_trace(html) == [(0, 2), (WIDTH, HEIGHT - 2)]
    assert read_trace(draw_curves({"step": [0, 1], "style": [0.0, 0.0]})) == []


def test_constant_curve_and_long_curve_are_drawn() -> None:
    assert len(read_trace(draw_curves({"step": [5, 6], "style": [2.0, 2.0]}))) == 2
    steps = [float(step) for step in range(10_000)]
    assert POINTS <= len(read_trace(draw_curves({"step": steps, "style": [step + 1 for step in steps]}))) < 2 * POINTS


def test_chart_names_the_term_with_its_first_and_last_value() -> None:
    html = draw_curves({"step": [0, 1], "<b>": [1234.0, 0.5], "total": [3.0]})
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert 'aria-label="Loss &lt;b&gt; over the steps: 1.23e+03 to 0.5"' in html
    # A term with one value is no curve.
    assert "total" not in html
    assert "appear after the first steps" in draw_curves({"step": [0], "total": [3.0]})


def make_view(state: str = "painting", live: dict[str, Any] | None = None, **options: Any) -> RunView:
    values: dict[str, Any] = {
        "id": "r-0123456789abcdef", "state": state, "position": None, "live": live, "error": None, "preview": None,
        "painting": Painting("sample:cat", (StyleInput("sample:glass"),)), "result": None, "curves": {}, "created": 0.0,
    }  # fmt: skip
    return RunView(**(values | options))


def strip_tags(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


LIVE = {"stage": 2, "stages": 3, "step": 30, "steps": 120, "width": 64, "height": 48, "seconds": 8.0}


def test_status_has_the_stage_the_size_and_the_time() -> None:
    text = format_status(make_view(live=LIVE | {"remaining_seconds": 12.4}))
    assert strip_tags(text) == "Painting stage 2 of 3 64&thinsp;&times;&thinsp;48 px 12 s left"
    assert 'aria-valuenow="25"' in text
    finished = format_status(make_view("finished", LIVE))
    assert strip_tags(finished) == "Finished 64&thinsp;&times;&thinsp;48 px in 8 s"
    assert "progressbar" not in finished
    assert strip_tags(format_status(make_view(live=None))) == "Painting starting"
    assert "position 3 in the queue" in format_status(make_view("waiting", position=3))
    film = make_view(live=LIVE | {"frame": 4, "frames": 25})
    assert "frame 5 of 25" in strip_tags(format_status(film))
    assert announce(film) == "Painting, about 10 percent of the frames are done."


def test_errors_are_escaped_and_announced() -> None:
    failed = make_view("failed", error='Expected <b> & "c".')
    assert format_notice("<script>") == '<p class="notice" role="alert">&lt;script&gt;</p>'
    assert format_notice("") == ""
    assert "Expected &lt;b&gt; &amp;" in format_status(failed)
    assert announce(failed) == 'The painting failed. Expected <b> & "c".'
    assert "&lt;i&gt;" in format_status(make_view(live=LIVE | {"error": "<i>"}))


def test_announcement_changes_with_the_stage_and_not_with_the_step() -> None:
    assert announce(make_view(live=LIVE)) == announce(make_view(live=LIVE | {"step": 31, "remaining_seconds": 1}))
    assert announce(make_view(live=LIVE)) != announce(make_view(live=LIVE | {"stage": 3}))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (89.4, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_duration_in_words(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(("live", "share"), [(None, 0), ({"step": 5}, 0), (LIVE, 0.25), ({"step": 9, "steps": 6}, 1)])
def test_progress_is_a_share_of_the_steps(live: dict[str, Any] | None, share: float) -> None:
    assert measure_progress(make_view(live=live)) == share


@pytest.fixture(scope="module")
def form_files(tmp_path_factory: pytest.TempPathFactory) -> UploadStore:
    return UploadStore(tmp_path_factory.mktemp("uploads"), 2**20, 10_000)


@pytest.fixture(scope="module")
def form(form_files: UploadStore) -> Iterator[PaintingForm]:
    import gradio

    loops: list[asyncio.AbstractEventLoop] = []
    create = asyncio.new_event_loop

    def record() -> asyncio.AbstractEventLoop:
        loops.append(create())
        return loops[-1]

    # Gradio creates event loops and leaves them open.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", record)
        with gradio.Blocks():
            tab = add_painting_tab(form_files)
    yield tab.form
    for loop in loops:
        loop.close()


def read_defaults(form: PaintingForm, **changes: Any) -> dict[Any, Any]:
    """Returns the values of a form that nobody has touched, with those of some attributes changed."""
    values = {component: component.value for component in form.inputs}
    values[form.content.chosen] = "sample:cat"
    return values | {getattr(form, name): value for name, value in changes.items()}


def test_untouched_form_is_the_default_painting(form: PaintingForm, form_files: UploadStore) -> None:
    painting = form.read(read_defaults(form), form_files)
    assert painting == Painting("sample:cat", (StyleInput("sample:swirl"),), size=form.size.value)


def test_form_without_a_picture_says_what_to_do(form: PaintingForm, form_files: UploadStore) -> None:
    empty = read_defaults(form) | {form.content.chosen: None}
    with pytest.raises(InputError, match="Add a photograph first"):
        form.read(empty, form_files)
    removed = read_defaults(form, count=2) | {form.styles[1].card.chosen: None}
    with pytest.raises(InputError, match="Add a picture to style 2"):
        form.read(removed, form_files)


def test_texture_leaves_out_what_needs_a_photograph(form: PaintingForm, form_files: UploadStore) -> None:
    values = read_defaults(form, recipe="texture", colors="luminance", drawing=make_drawing((STYLE_COLORS[0], 255)))
    painting = form.read(values, form_files)
    assert (painting.content, painting.colors, painting.styles[0].mask) == (None, "style", None)


def test_drawing_replaces_uploaded_masks(form: PaintingForm, form_files: UploadStore) -> None:
    uploaded = form_files.add_mask(Image.new("L", (4, 2), 7))
    values = read_defaults(form, count=2) | {form.styles[0].mask: uploaded}
    assert [style.mask for style in form.read(values, form_files).styles] == [uploaded, None]
    values[form.drawing] = make_drawing((STYLE_COLORS[0], 255), ("black", 0))
    masks = [style.mask for style in form.read(values, form_files).styles]
    pictures = [Image.open(form_files.path(mask)) for mask in masks if mask]
    assert read_rows(list(pictures)) == [[255, 0], [0, 255]]
    for picture in pictures:
        picture.close()


def test_drawing_over_a_style_is_the_part_that_is_used(form: PaintingForm, form_files: UploadStore) -> None:
    drawn = {form.regions[1]: make_drawing((STYLE_COLORS[1], 255), ("black", 0))}
    first, second = form.read(read_defaults(form, count=2) | drawn, form_files).styles
    assert (first.region, first.mask, second.mask) == (None, None, None)
    assert second.region is not None
    with Image.open(form_files.path(second.region)) as region:
        assert read_rows([region]) == [[255, 0]]


def test_weights_of_terms_belong_to_the_recipe(form: PaintingForm, form_files: UploadStore) -> None:
    moved = {form.terms["style"]: 2.5, form.terms["neighbor"]: 0.5}
    transfer = form.read(read_defaults(form) | moved, form_files)
    assert transfer.term_factors == {"style": 2.5}
    best = form.read(read_defaults(form, recipe="best") | moved, form_files)
    assert best.term_factors == {"style": 2.5, "neighbor": 0.5}
    options = best.arguments(form_files, Path("r-0123456789abcdef"))
    assert {"--model.losses.style.weight=2500.0", "--model.losses.neighbor.weight=200.0"} <= set(options)
    off = {form.terms[name]: 0 for name in ("content", "style", "smooth")}
    with pytest.raises(InputError, match="all weights are 0"):
        form.read(read_defaults(form) | off, form_files)


def test_form_is_filled_with_what_it_was_read_from(form: PaintingForm, form_files: UploadStore) -> None:
    styles = (StyleInput("sample:glass", 2.0, 0.5), StyleInput("sample:waves", region="sample:cat_mask"))
    painting = Painting("sample:harbour", styles, "best", 64, 0.25, 1.5, "content", 9, term_factors={"smooth": 3.0})
    values = read_defaults(form)
    for component, update in zip(form.outputs, form.fill(painting, form_files), strict=True):
        if component in form.inputs and not isinstance(update, dict):
            values[component] = update
    assert form.read(values, form_files) == painting


def test_painting_of_a_run_has_the_values_that_were_changed_meanwhile(tmp_path: Path) -> None:
    styles = (StyleInput("sample:glass"), StyleInput("sample:waves"))
    painting = Painting("sample:cat", styles, term_factors={"content": 2.0, "style": 3.0})
    view = make_view(painting=painting)
    assert apply_changes(view, tmp_path) == painting
    changes = Steering(strength=0.2), Steering(weights={"style": 1000.0, "smooth": 110.0}), Steering(strength=0.9)
    steps = [SteeringStep(step, change) for step, change in enumerate(changes)]
    write_steering(tmp_path / STEERING_NAME, [*steps, SteeringStep(4, Steering(style_weights=(1.0, 3.5)))])
    changed = apply_changes(view, tmp_path)
    assert changed.strength == 0.9
    assert [style.weight for style in changed.styles] == [1.0, 3.5]
    # The recipe has the weights 1000 and 100 for these terms.
    assert changed.term_factors == {"content": 2.0, "smooth": 1.1}
