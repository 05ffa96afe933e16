"""The tab that paints a picture: the form on the left, the picture on the right."""

from dataclasses import dataclass

import gradio as gr

from nst_lightning.app.painting import LIMITS
from nst_lightning.app.ui.mask_section import MaskSection, add_mask_section, connect_mask_section
from nst_lightning.app.ui.painting_form import (
    COLOR_CHOICES,
    LARGEST_FORM_SIZE,
    PaintingForm,
    add_content_card,
    add_recipe,
    add_style_cards,
    default_size,
)
from nst_lightning.app.ui.picture_input import connect_picture_card
from nst_lightning.app.ui.result_panel import ResultPanel, add_result_panel
from nst_lightning.app.ui.style_card import title_style
from nst_lightning.app.ui.term_sliders import add_term_sliders
from nst_lightning.app.uploads import UploadStore


@dataclass(frozen=True)
class PaintingTab:
    """The components of the tab.

    Attributes:
        form: what a person fills in.
        panel: the run that is shown.
        masks: the section of the masks.
        notice: the error of the last action.
        paint: paints.
        add_style: adds a style.
        remove_style: removes the last style.
        start_row: says that the next painting starts from a result.
        start_text: the text in it.
        forget_start: removes the start.
        expert: the folded section with configuration and command.
        asked: what the command paints, and the name of its run; kept on the server.
        command: the command that paints the same picture.
        configuration: the resolved configuration.
        show_configuration: updates both.
    """

    form: PaintingForm
    panel: ResultPanel
    masks: MaskSection
    notice: gr.HTML
    paint: gr.Button
    add_style: gr.Button
    remove_style: gr.Button
    start_row: gr.Row
    start_text: gr.HTML
    forget_start: gr.Button
    expert: gr.Accordion
    asked: gr.State
    command: gr.Code
    configuration: gr.Code
    show_configuration: gr.Button


def add_painting_tab(files: UploadStore) -> PaintingTab:
    """Adds the components of the tab.

    Args:
        files: the uploaded pictures and the samples.
    """
    with gr.Row(elem_classes="workspace"):
        with gr.Column(elem_classes="form", min_width=300):
            with gr.Row(elem_classes="pictures"):
                with gr.Column(min_width=140):
                    content = add_content_card(files)
                styles = add_style_cards(files)
            with gr.Row(elem_classes="links"):
                add_style = gr.Button("+ Add a style", size="sm")
                remove_style = gr.Button("Remove the last style", size="sm", visible=False)
            with gr.Row(visible=False, elem_classes="links") as start_row:
                start_text = gr.HTML("", js_on_load=None, elem_classes="hint")
                forget_start = gr.Button("Start from the photograph instead", size="sm")
            strength = gr.Slider(
                0, 1, 0.5, step=0.01, label="Strength", elem_id="strength",
                buttons=[],
                info="0 is the photograph, 1 the style. You can move it while it paints.",
            )  # fmt: skip
            notice = gr.HTML("", js_on_load=None, elem_id="notice")
            paint = gr.Button("Paint", variant="primary", size="lg", elem_id="paint")
            recipe = add_recipe()
            size = gr.Slider(
                LIMITS["size"][0], LARGEST_FORM_SIZE, default_size(), step=16, label="Size", elem_id="size", buttons=[],
                info="Longest edge in px.",
            )  # fmt: skip
        with gr.Column(elem_classes="canvas", min_width=300):
            panel = add_result_panel()
        with gr.Column(elem_classes="more", min_width=300):
            with gr.Accordion("More settings", open=False):
                stroke = gr.Slider(
                    0.25, 4, 1, step=0.05, label="Stroke size", info="Larger values give larger strokes.",
                    elem_id="stroke", buttons=[],
                )  # fmt: skip
                colors = gr.Radio(COLOR_CHOICES, value="style", label="Colors of", elem_classes="stack")
                seed = gr.Number(
                    0, label="Seed", precision=0, minimum=0, maximum=LIMITS["seed"][1], elem_id="seed",
                    info="The same seed gives the same picture.",
                )  # fmt: skip
            terms = add_term_sliders()
            masks = add_mask_section()
            with gr.Accordion("Configuration and command", open=False) as expert:
                command = gr.Code(
                    label="This command paints the same picture",
                    language="shell",
                    wrap_lines=True,
                    interactive=False,
                    show_line_numbers=False,
                    lines=1,
                    elem_id="command",
                )
                configuration = gr.Code(
                    label="Resolved configuration (YAML)",
                    language="yaml",
                    max_lines=16,
                    interactive=False,
                    show_line_numbers=False,
                    elem_id="configuration",
                )
                show_configuration = gr.Button("Show for the current settings", size="sm")
    form = PaintingForm(
        content, styles, gr.State(1), recipe, size, strength, stroke, colors, seed, terms, gr.State(None),
        masks.drawing, masks.regions,
    )  # fmt: skip
    for index, style in enumerate(styles):
        connect_picture_card(style.card, title_style(index), files, notice)
    connect_picture_card(content, "Photograph", files, notice)
    connect_mask_section(masks, content, styles, form.count, files)
    return PaintingTab(
        form, panel, masks, notice, paint, add_style, remove_style, start_row, start_text, forget_start, expert,
        gr.State(None), command, configuration, show_configuration,
    )  # fmt: skip
