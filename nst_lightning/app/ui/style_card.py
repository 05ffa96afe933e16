"""The styles of a painting: a picture with its weight, scale and masks."""

from dataclasses import dataclass

import gradio as gr

from nst_lightning.app.painting import MAX_STYLES
from nst_lightning.app.ui.picture_input import PictureCard, add_picture_card
from nst_lightning.app.uploads import UploadStore
from nst_lightning.samples.gallery import STYLES

# The samples that further styles start with.
DEFAULT_STYLES = STYLES[:MAX_STYLES]


@dataclass(frozen=True)
class StyleCard:
    """The components of one style.

    Attributes:
        column: contains the components below.
        card: its picture.
        adjust: contains weight and scale; only among several styles.
        weight: its share.
        scale: size of its strokes.
        mask: id of an uploaded mask over the content, or None; kept on the server.
        region: id of a mask over the style, or None; kept on the server.
    """

    column: gr.Column
    card: PictureCard
    adjust: gr.Column
    weight: gr.Slider
    scale: gr.Slider
    mask: gr.State
    region: gr.State


def add_style_card(index: int, files: UploadStore) -> StyleCard:
    """Adds a style to the page; all but the first are hidden.

    Args:
        index: number of the style from 0.
        files: the uploaded pictures and the samples.
    """
    number = index + 1
    with gr.Column(min_width=140, visible=index == 0) as column:
        card = add_picture_card(title_style(index), STYLES, files, f"style-{number}", DEFAULT_STYLES[index])
        with gr.Column(visible=False, elem_classes="adjust") as adjust:
            weight = gr.Slider(
                0, 4, 1, step=0.05, label=f"Weight of style {number}", elem_id=f"weight-{number}", buttons=[]
            )
            scale = gr.Slider(
                0.25, 4, 1, step=0.05, label=f"Scale of style {number}", elem_id=f"scale-{number}", buttons=[]
            )
    return StyleCard(column, card, adjust, weight, scale, gr.State(None), gr.State(None))


def title_style(index: int) -> str:
    """Returns the title of a style.

    Args:
        index: its number from 0.
    """
    return f"Style {index + 1}"
