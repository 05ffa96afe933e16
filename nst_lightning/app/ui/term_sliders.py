"""The folded section with the weights of the terms of the objective."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from nst_lightning.app.painting import RECIPES
from nst_lightning.app.term_weights import read_term_weights

# Largest factor of the sliders.
MAX_FACTOR = 5

TERMS_HELP = (
    '<p class="hint">Each value multiplies the weight that the recipe gives to a loss: 1 leaves it, 0 switches it off. '
    "You can move them while it paints.</p>"
)

# The recipes of pictures.
STILL_RECIPES = tuple(name for name in RECIPES if name != "video")


def add_term_sliders() -> dict[str, gr.Slider]:
    """Adds the section with a slider for each term that a recipe has; returns the sliders by the name of the term."""
    names = dict.fromkeys(name for recipe in STILL_RECIPES for name in read_term_weights(recipe))
    shown = read_term_weights(STILL_RECIPES[0])
    with gr.Accordion("Weights of the losses", open=False):
        gr.HTML(TERMS_HELP, js_on_load=None)
        sliders = {
            name: gr.Slider(
                0, MAX_FACTOR, 1, step=0.05, label=f"{name.capitalize()} loss", elem_id=f"term-{name}", buttons=[],
                visible=name in shown,
            )
            for name in names
        }  # fmt: skip
    return sliders


def show_term_sliders(recipe: str, sliders: Mapping[str, gr.Slider]) -> list[Any]:
    """Returns updates that show the sliders of the terms of a recipe.

    Args:
        recipe: its name.
        sliders: see :func:`add_term_sliders`.
    """
    return [gr.Slider(visible=name in read_term_weights(recipe)) for name in sliders]
