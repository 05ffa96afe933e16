"""The folded section in which masks are drawn or uploaded."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from nst_lightning.app.painting import MAX_STYLES
from nst_lightning.app.ui.mask_brush import STYLE_COLORS, format_legend, make_brush, make_editor
from nst_lightning.app.ui.picture_input import PictureCard, find_upload, read_shown
from nst_lightning.app.ui.status_text import format_notice
from nst_lightning.app.ui.style_card import StyleCard
from nst_lightning.app.uploads import UploadStore
from nst_lightning.errors import InputError

CONTENT_TARGET = "content"

# Longest edge of an uploaded mask and of a picture that is drawn on, in px.
MASK_EDGE = 4096
DRAWING_EDGE = 768

MASK_HELP = (
    '<p class="hint">Choose the color of a style with the palette, and draw where it goes. Styles without a color '
    "share the rest; if each style has a color, the rest stays a photograph. An uploaded mask is white where its "
    "style goes.</p>"
)


@dataclass(frozen=True)
class MaskSection:
    """The components of the section.

    Attributes:
        section: the folded section.
        target: which picture is drawn on.
        legend: the colors of the styles.
        drawing: over the photograph.
        regions: over each style.
        uploads: buttons that upload the mask of each style.
        remove: removes all masks.
        state: says which uploaded masks are used.
    """

    section: gr.Accordion
    target: gr.Radio
    legend: gr.HTML
    drawing: gr.ImageEditor
    regions: tuple[gr.ImageEditor, ...]
    uploads: tuple[gr.UploadButton, ...]
    remove: gr.Button
    state: gr.HTML


def add_mask_section() -> MaskSection:
    """Adds the section to the page."""
    with gr.Accordion("Masks: which style goes where", open=False) as section:
        target = gr.Radio(
            list_targets(1), value=CONTENT_TARGET, label="Draw on", elem_classes="segments", elem_id="mask-target"
        )
        gr.HTML(MASK_HELP, js_on_load=None)
        legend = gr.HTML(format_legend(1), js_on_load=None)
        drawing = make_editor("Masks over the photograph", STYLE_COLORS[:1], "drawing")
        regions = tuple(
            make_editor(f"Part of style {index + 1} that is used", [STYLE_COLORS[index]], f"region-{index + 1}")
            for index in range(MAX_STYLES)
        )
        with gr.Row(elem_classes="actions"):
            uploads = tuple(
                gr.UploadButton(
                    f"Upload mask of style {index + 1}",
                    file_types=["image"],
                    visible=index == 0,
                    size="sm",
                    elem_id=f"mask-{index + 1}",
                )
                for index in range(MAX_STYLES)
            )
            remove = gr.Button("Remove all masks", size="sm")
        state = gr.HTML("", js_on_load=None)
    return MaskSection(section, target, legend, drawing, regions, uploads, remove, state)


def list_targets(count: int) -> list[tuple[str, str]]:
    """Lists what can be drawn on, as choices of a radio button.

    Args:
        count: number of styles.
    """
    return [("Photograph", CONTENT_TARGET), *((f"Style {number}", str(number)) for number in range(1, count + 1))]


def connect_mask_section(
    masks: MaskSection, content: PictureCard, styles: tuple[StyleCard, ...], count: gr.State, files: UploadStore
) -> None:
    """Connects the events of the section.

    Args:
        masks: the section.
        content: the photograph.
        styles: the styles.
        count: number of styles.
        files: stores the uploads.
    """
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    editors = [masks.drawing, *masks.regions]
    chosen = [content.chosen, *(style.card.chosen for style in styles)]

    # An editor that is shown in a folded section has no size.
    is_open = gr.State(False)

    def choose_editor(is_open: bool, target: str, *pictures: str | None) -> list[Any]:
        """Shows the editor of a picture; the drawings of the others stay."""
        if not is_open:
            return [gr.skip()] * len(editors)
        names = [name for _, name in list_targets(MAX_STYLES)]
        return [
            gr.ImageEditor(visible=False if picture is None else name == target or "hidden")
            for name, picture in zip(names, pictures, strict=True)
        ]

    def set_background(picture: str | None) -> Any:
        if picture is None:
            return gr.ImageEditor(value=None, visible=False)
        background = read_shown(files.path(picture), DRAWING_EDGE)
        return gr.ImageEditor(value={"background": background, "layers": [], "composite": None})

    def follow_picture(is_open: bool, picture: str | None) -> tuple[Any, str | None]:
        """Shows another picture in an editor.

        Returns:
            The update of the editor, and the picture, or None in a folded section: there it is shown when the section
            opens.
        """
        return set_background(picture), picture if is_open else None

    def open_editor(picture: str | None, shown: str | None) -> tuple[Any, Any]:
        """Shows the picture of an editor when the section opens, unless it is shown: what is drawn over it stays."""
        return (gr.skip(), gr.skip()) if picture == shown else (set_background(picture), picture)

    def change_count(used: int) -> list[Any]:
        return [
            gr.Radio(choices=list_targets(used), value=CONTENT_TARGET),
            format_legend(used),
            gr.ImageEditor(brush=make_brush(STYLE_COLORS[:used])),
            *(gr.UploadButton(visible=index < used) for index in range(MAX_STYLES)),
        ]

    # Also when a picture arrives after the section was opened; one after the other, so that each knows whether it is.
    order: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "masks"}
    masks.section.collapse(lambda: False, None, is_open, **quiet, **order)
    masks.section.expand(lambda: True, None, is_open, **quiet, **order).then(
        choose_editor, [is_open, masks.target, *chosen], editors, **quiet, **order
    )
    shown = [masks.target.change, *(picture.change for picture in chosen)]
    gr.on(shown, choose_editor, [is_open, masks.target, *chosen], editors, **quiet, **order)
    for editor, picture in zip(editors, chosen, strict=True):
        background = gr.State(None)
        picture.change(follow_picture, [is_open, picture], [editor, background], **quiet)
        masks.section.expand(open_editor, [picture, background], [editor, background], **quiet)
    count.change(change_count, count, [masks.target, masks.legend, masks.drawing, *masks.uploads], **quiet)

    def describe(*ids: str | None) -> str:
        given = [str(number) for number, mask in enumerate(ids, start=1) if mask is not None]
        return f'<p class="hint" role="status">Uploaded masks: style {", ".join(given)}.</p>' if given else ""

    def upload(file: Any) -> tuple[Any, str]:
        try:
            # Decoded as a picture first: uploads are not trusted.
            stored = files.path(files.add_picture(find_upload(file)))
            return files.add_mask(read_shown(stored, MASK_EDGE).convert("L")), ""
        except InputError as error:
            return gr.skip(), format_notice(str(error))

    for button, style in zip(masks.uploads, styles, strict=True):
        button.upload(upload, button, [style.mask, masks.state], preprocess=False, **quiet)
    gr.on([style.mask.change for style in styles], describe, [style.mask for style in styles], masks.state, **quiet)

    def remove_all(*pictures: str | None) -> list[Any]:
        return [None] * (2 * MAX_STYLES) + [set_background(picture) for picture in pictures]

    masks.remove.click(
        remove_all,
        chosen,
        [*(style.mask for style in styles), *(style.region for style in styles), *editors],
        **quiet,
    )
