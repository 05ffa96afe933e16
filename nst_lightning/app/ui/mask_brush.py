"""Masks that are drawn over the photograph and over the styles, one color for each style."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

# Colors of the styles 1 to 4, which people with color blindness can tell apart (Okabe and Ito 2008).
STYLE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


def make_editor(label: str, colors: Sequence[str], elem_id: str) -> gr.ImageEditor:
    """Returns a picture to draw on, hidden at first.

    Args:
        label: what the drawing means.
        colors: the colors of the brush.
        elem_id: id of the element of the page.
    """
    return gr.ImageEditor(
        label=label,
        type="pil",
        sources=(),
        transforms=(),
        layers=gr.LayerOptions(allow_additional_layers=False),
        brush=make_brush(colors),
        eraser=gr.Eraser(default_size=40),
        buttons=[],
        height=420,
        elem_id=elem_id,
        visible=False,
        interactive=True,
    )


def make_brush(colors: Sequence[str]) -> gr.Brush:
    """Returns a brush with fixed colors.

    Args:
        colors: as ``#rrggbb``.
    """
    return gr.Brush(default_size=40, colors=list(colors), default_color=colors[0], color_mode="fixed")


def split_drawing(drawing: Mapping[str, Any] | None, count: int) -> list[Image.Image | None]:
    """Splits a drawing into the masks of the styles.

    Styles without a color share what is not drawn on. If each style has a color, nothing is painted there.

    Args:
        drawing: value of an editor: ``layers`` of RGBA pictures.
        count: number of styles.

    Returns:
        For each style a gray picture, white where it applies; None for all of them without a drawing.
    """
    layers = [np.asarray(layer.convert("RGBA"), np.int32) for layer in (drawing or {}).get("layers") or []]
    layers = [layer for layer in layers if layer[..., 3].any()]
    if not layers:
        return [None] * count
    layer = layers[0]
    palette = np.array([_parse_color(color) for color in STYLE_COLORS[:count]])
    nearest = np.square(layer[..., None, :3] - palette).sum(-1).argmin(-1)
    opacity = layer[..., 3].astype(np.uint8)
    masks = [np.where(nearest == index, opacity, 0).astype(np.uint8) for index in range(count)]
    return [Image.fromarray(mask if mask.any() else 255 - opacity) for mask in masks]


def format_legend(count: int) -> str:
    """Returns the colors of the styles as HTML.

    Args:
        count: number of styles.
    """
    chips = "".join(
        f'<li><span class="chip" style="background: {color}"></span>Style {index + 1}</li>'
        for index, color in enumerate(STYLE_COLORS[:count])
    )
    return f'<ul class="legend">{chips}</ul>'


def _parse_color(color: str) -> list[int]:
    return [int(color[start : start + 2], 16) for start in (1, 3, 5)]
