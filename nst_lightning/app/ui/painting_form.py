"""The form of a painting: its components, and the conversion from and to `Painting`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch

from nst_lightning.app.painting import MAX_STYLES, RECIPES, Painting, StyleInput
from nst_lightning.app.term_weights import keep_factors
from nst_lightning.app.ui.mask_brush import split_drawing
from nst_lightning.app.ui.picture_input import PictureCard, add_picture_card, show_picture
from nst_lightning.app.ui.style_card import StyleCard, add_style_card, title_style
from nst_lightning.app.ui.term_sliders import STILL_RECIPES
from nst_lightning.app.uploads import UploadStore
from nst_lightning.errors import InputError
from nst_lightning.samples.gallery import CONTENTS

COLOR_CHOICES = [
    ("Style", "style"),
    ("Style, without tints of the photograph", "match"),
    ("Palette of the photograph", "content"),
    ("Exactly the photograph", "luminance"),
]

# Largest size of the form in px; `Enlarge` paints larger pictures.
LARGEST_FORM_SIZE = 2048

Values = Mapping[Any, Any]


@dataclass(frozen=True)
class PaintingForm:
    """The components that a person fills in.

    Attributes:
        content: the photograph.
        styles: all styles; the first `count` are used.
        count: number of styles; kept on the server.
        recipe: name of a recipe.
        size: long edge in px.
        strength: from the photograph (0) to the style (1).
        stroke: factor on the scales of the styles.
        colors: whose colors the result has.
        seed: seed of the run.
        terms: factors on the weights of the terms, by name.
        start: id of the run whose result is the start, or None; kept on the server.
        drawing: masks that are drawn over the photograph.
        regions: masks that are drawn over the styles.
    """

    content: PictureCard
    styles: tuple[StyleCard, ...]
    count: gr.State
    recipe: gr.Radio
    size: gr.Slider
    strength: gr.Slider
    stroke: gr.Slider
    colors: gr.Radio
    seed: gr.Number
    terms: Mapping[str, gr.Slider]
    start: gr.State
    drawing: gr.ImageEditor
    regions: tuple[gr.ImageEditor, ...]

    @property
    def inputs(self) -> set[Any]:
        """All components with values."""
        styles = [
            component
            for style in self.styles
            for component in (style.card.chosen, style.weight, style.scale, style.mask, style.region)
        ]
        return {
            self.content.chosen, self.count, self.recipe, self.size, self.strength, self.stroke, self.colors, self.seed,
            self.start, self.drawing, *self.terms.values(), *styles, *self.regions,
        }  # fmt: skip

    def read(self, values: Values, files: UploadStore) -> Painting:
        """Returns what the person asks for.

        Args:
            values: the values of `inputs`.
            files: stores the masks that were drawn.

        Raises:
            InputError: a value cannot be used.
        """
        recipe = values[self.recipe]
        is_texture = recipe == "texture"
        content = None if is_texture else values[self.content.chosen]
        if content is None and not is_texture:
            raise InputError("Add a photograph first: drop it into the first frame, or choose a sample below it.")
        count = values[self.count]
        drawn = [None] * count if is_texture else split_drawing(values[self.drawing], count)
        masks = [None if mask is None else files.add_mask(mask) for mask in drawn]
        if all(mask is None for mask in masks) and not is_texture:
            masks = [values[style.mask] for style in self.styles[:count]]
        styles = tuple(self._read_style(index, values, masks[index], files) for index in range(count))
        painting = Painting(
            content=content,
            styles=styles,
            recipe=recipe,
            size=round(values[self.size]),
            strength=float(values[self.strength]),
            stroke=float(values[self.stroke]),
            colors="style" if is_texture else values[self.colors],
            seed=round(values[self.seed] or 0),
            start=values[self.start],
            term_factors=keep_factors({name: float(values[slider]) for name, slider in self.terms.items()}, recipe),
        )
        painting.check()
        return painting

    def _read_style(self, index: int, values: Values, mask: str | None, files: UploadStore) -> StyleInput:
        style = self.styles[index]
        picture = values[style.card.chosen]
        if picture is None:
            raise InputError(f"Add a picture to style {index + 1}: drop it into its frame, or choose a sample.")
        drawn = split_drawing(values[self.regions[index]], 1)[0]
        region = values[style.region] if drawn is None else files.add_mask(drawn)
        is_alone = values[self.count] == 1
        weight, scale = (1.0, 1.0) if is_alone else (float(values[style.weight]), float(values[style.scale]))
        return StyleInput(picture, weight, scale, mask, region)

    @property
    def outputs(self) -> list[Any]:
        """The components that :meth:`fill` updates."""
        styles = [
            component
            for style in self.styles
            for component in (
                style.column, style.adjust, style.card.picture, style.card.samples, style.card.chosen,
                style.weight, style.scale, style.mask, style.region,
            )
        ]  # fmt: skip
        return [
            self.content.picture, self.content.samples, self.content.chosen, self.count, self.recipe, self.size,
            self.strength, self.stroke, self.colors, self.seed, self.start, *self.terms.values(), *styles,
        ]  # fmt: skip

    def fill(self, painting: Painting, files: UploadStore) -> list[Any]:
        """Returns updates of `outputs` that show what a run was asked for.

        Args:
            painting: of a run.
            files: the uploads.
        """
        updates = [
            *_fill_card("Photograph", painting.content, files),
            len(painting.styles), painting.recipe, min(painting.size, LARGEST_FORM_SIZE), painting.strength,
            painting.stroke, painting.colors, painting.seed, painting.start,
            *(painting.term_factors.get(name, 1) for name in self.terms),
        ]  # fmt: skip
        for index, _ in enumerate(self.styles):
            style = painting.styles[index] if index < len(painting.styles) else None
            updates += [gr.Column(visible=style is not None), gr.Column(visible=len(painting.styles) > 1)]
            if style is None:
                updates += [gr.skip()] * 7
                continue
            updates += _fill_card(title_style(index), style.picture, files)
            updates += [style.weight, style.scale, style.mask, style.region]
        return updates


def _fill_card(label: str, chosen: str | None, files: UploadStore) -> list[Any]:
    try:
        chosen = None if chosen is None or not files.path(chosen).is_file() else chosen
    except InputError:
        chosen = None  # its file was deleted
    sample = chosen.removeprefix("sample:") if chosen and chosen.startswith("sample:") else None
    return [show_picture(label, chosen, files), gr.Radio(value=sample), chosen]


def add_content_card(files: UploadStore) -> PictureCard:
    """Adds the photograph, which is empty at first.

    Args:
        files: the uploaded pictures and the samples.
    """
    return add_picture_card("Photograph", CONTENTS, files, "content-picture", None)


def add_style_cards(files: UploadStore) -> tuple[StyleCard, ...]:
    """Adds the styles; one is visible at first.

    Args:
        files: the uploaded pictures and the samples.
    """
    return tuple(add_style_card(index, files) for index in range(MAX_STYLES))


def add_recipe() -> gr.Radio:
    """Adds the choice of a recipe, with the sentence about it."""
    recipe = gr.Radio(
        [(name.capitalize(), name) for name in STILL_RECIPES],
        value=STILL_RECIPES[0],
        label="Recipe",
        info=RECIPES[STILL_RECIPES[0]],
        elem_classes="segments",
        elem_id="recipe",
    )
    recipe.change(
        lambda name: gr.Radio(info=RECIPES[name]), recipe, recipe, show_progress="hidden", api_visibility="private"
    )
    return recipe


def default_size() -> int:
    """Returns the size that a new painting has, in px: larger on a GPU."""
    return 1024 if torch.cuda.is_available() else 512
