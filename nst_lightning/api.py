"""Style transfer from notebooks and scripts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from os import PathLike
from typing import Any, Literal

import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import OptimizerCallable
from PIL import Image

from nst_lightning.backbones import Backbone
from nst_lightning.callbacks import PicturePreview, StageProgressBar
from nst_lightning.cli.configs import packaged_config
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.data.colors import ColorMode
from nst_lightning.data.label_maps import MapSource
from nst_lightning.data.masks import MaskSource
from nst_lightning.data.palette import Palette
from nst_lightning.data.placement import Rest
from nst_lightning.data.plan import Plan
from nst_lightning.data.style_source import PictureSource, StyleMatch, StyleSource, parse_styles, read_picture
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.functional.color import ColorSpace
from nst_lightning.images.io import to_pil
from nst_lightning.images.opening import limit_pixels
from nst_lightning.losses import Loss
from nst_lightning.system.precision import Precision
from nst_lightning.system.threads import Threads, restore_threads
from nst_lightning.training.console import quiet_lightning

# A style: its picture, or its picture with options, as an object or as a mapping.
StyleChoice = PictureSource | StyleSource | Mapping[str, Any]


def stylize(
    content: PictureSource | None,
    style: StyleChoice | Sequence[StyleChoice] | None,
    size: int | None = None,
    steps: int | None = None,
    *,
    content_weight: float | None = None,
    style_weight: float | None = None,
    smooth_weight: float | None = None,
    style_weights: Sequence[float] | None = None,
    style_scale: float | Sequence[float] | None = None,
    style_match: StyleMatch | None = None,
    style_rotation: int | Sequence[int] | None = None,
    palette_start: float | None = None,
    palette_result: float | None = None,
    palette_space: ColorSpace | None = None,
    content_map: MapSource | None = None,
    rest: Rest = None,
    hold: MaskSource | None = None,
    hold_weight: float | None = None,
    style_strength: MaskSource | None = None,
    move_masks: bool | None = None,
    colors: ColorMode | None = None,
    color_strength: float | None = None,
    content_layers: Sequence[str] | None = None,
    style_layers: Sequence[str] | None = None,
    losses: dict[str, Loss] | None = None,
    initialization: str | None = None,
    backbone: Backbone | None = None,
    optimizer: OptimizerCallable | None = None,
    ladder: Literal["none", "sqrt2", "octaves"] | None = None,
    strength: float | None = None,
    tileable: bool | None = None,
    seed: int | None = None,
    accelerator: str = "auto",
    precision: Precision | None = None,
    threads: Threads | None = None,
    max_pixels: float | None = None,
    progress: bool = True,
    recipe: str | PathLike[str] = "transfer",
    show: bool = False,
    on_preview: Callable[[Image.Image], object] | None = None,
) -> Image.Image:
    """Paints a picture in the style of another one and returns it; writes nothing.

    Without a style it reconstructs the content, without a content it synthesizes a texture, both from noise.
    Arguments that are omitted have their values from the recipe. An interrupt, such as Ctrl-C or the stop button of a
    notebook, ends the painting after the current step, and the picture is returned as it is.

    Args:
        content: path or PIL image whose shapes are kept, or None.
        style: path or PIL image, or several of them, whose colors and texture are used, or None. A
            :class:`nst_lightning.StyleSource`, or a mapping, also has a weight, sizes, rotations and masks of its own.
        size: long edge of the result in px.
        steps: evaluations of the objective at each size but the first one, which has those of the recipe.
        content_weight: factor on the content term.
        style_weight: factor on the style term, a whitened :class:`nst_lightning.GramLoss`.
        smooth_weight: factor on the total variation, which is part of the objective if there are content and style.
        style_weights: weights of several styles; only their ratio matters. Equal by default.
        style_scale: size of the styles relative to the image, or several sizes that are averaged.
        style_match: what of a style is made equal to the image before its scale applies: ``long`` edge, ``short`` edge
            or ``area``.
        style_rotation: degrees counterclockwise, a multiple of 90, or several that are averaged.
        palette_start: strength from 0 to 1 with which the start image is matched to the colors of the styles.
        palette_result: strength with which the result is matched to them.
        palette_space: color space of the matching, ``oklab`` or ``rgb``.
        content_map: color-coded picture of the content. An area gets the styles that have its color in their ``map``.
        rest: what happens where no mask of a style applies: ``content``, which stays as it is, or the number of a
            style, from 0. By default it is an error.
        hold: mask, white where the content is held more strongly: path, PIL image, or ``(height, width)`` values.
        hold_weight: factor of the content term where `hold` is white.
        style_strength: mask that lowers the style where it is darker than white.
        move_masks: without effect on a picture; in films, masks follow the motion.
        colors: whose colors the result has: ``style``, ``content``, ``luminance`` or ``match``; see
            :class:`nst_lightning.data.transfer.TransferData`.
        color_strength: how far `colors` goes, from 0 to 1.
        content_layers: layers of the content term.
        style_layers: layers of the style term.
        losses: losses by name that replace those that the five arguments above describe.
        initialization: ``content``, ``noise``, ``gaussian``, ``style`` or the path of an image file; by default the
            content, or noise if one of the pictures is missing.
        backbone: the network.
        optimizer: creates an optimizer of the image.
        ladder: smaller sizes to start with; see :class:`nst_lightning.Plan`.
        strength: how much of the style the result has, from 0, the photograph, to 1; 0.5 is the recipe's balance.
        tileable: whether the result shows no seam when it is laid side by side; its edges become multiples of 8 px.
        seed: seed of the noise.
        accelerator: Lightning's: ``auto``, ``cpu``, ``gpu``, ``mps``.
        precision: precision of the network, ``32-true`` or ``bf16-mixed``; by default the second if it is native to the
            hardware.
        threads: number of threads on a CPU during the call, or ``auto`` to leave out cores that other processes use;
            by default torch's setting.
        max_pixels: width times height in px above which a picture is refused; 400 megapixels by default.
        progress: whether to show a progress bar.
        recipe: name of a recipe of the package, such as ``best``, or path of a YAML file. The arguments for weights and
            layers apply to terms with the names ``content``, ``style`` and ``smooth``.
        show: whether to show the picture in a notebook while it is painted; requires IPython.
        on_preview: called with the picture so far, of at most 768 px, at most twice a second.

    Returns:
        An RGB image, or RGBA if the content is transparent.

    Raises:
        InputError: an argument cannot be used.
    """
    if content is None and style is None and losses is None:
        raise InputError("Expected a content or a style, but got neither.")
    styles = parse_styles(style)
    has_both = content is not None and bool(styles)
    options = {
        "data.plan.size": size,
        "data.plan.steps": steps,
        "data.plan.ladder": ladder,
        "data.style_scale": style_scale,
        "data.style_match": style_match,
        "data.style_rotation": style_rotation,
        "data.palette.start": palette_start,
        "data.palette.result": palette_result,
        "data.palette.space": palette_space,
        "data.hold_weight": hold_weight,
        "data.move_masks": move_masks,
        "data.colors": colors,
        "data.color_strength": color_strength,
        "model.losses.content.weight": content_weight,
        "model.losses.content.layers": content_layers,
        "model.losses.style.weight": style_weight,
        "model.losses.style.layers": style_layers,
        "model.losses.smooth.weight": smooth_weight,
        "model.strength": strength,
        "model.tileable": tileable,
        "model.initialization": initialization or (None if has_both else "noise"),
        "seed_everything": seed,
        "trainer.accelerator": accelerator,
        "trainer.precision": precision,
        "max_pixels": max_pixels,
        "threads": torch.get_num_threads() if threads is None else threads,
    }
    # Objects replace what the recipe configures; None keeps it.
    replaced = {"losses": losses, "optimizer": optimizer, "backbone": backbone}
    callbacks: list[Callback] = [StageProgressBar()] if progress else []
    display = _open_display() if show else None
    callbacks += [PicturePreview(function) for function in (display, on_preview) if function is not None]
    cli = _parse_recipe(recipe, options)
    if losses is None:
        _drop_losses(cli, content is not None, bool(styles))
    config = cli.config.data
    with limit_pixels(cli.config.max_pixels):
        data = TransferData.from_pictures(
            None if content is None else read_picture(content),
            # Read before the run is built, so that an unreadable picture is reported at once.
            [replace(source, file=source.read()) for source in styles],
            Plan(**config.plan.as_dict()),
            None if style_weights is None else list(style_weights),
            style_scale=config.style_scale,
            style_match=config.style_match,
            style_rotation=config.style_rotation,
            palette=Palette(**config.palette.as_dict()),
            content_map=content_map,
            rest=rest,
            hold=hold,
            hold_weight=config.hold_weight,
            style_strength=style_strength,
            move_masks=config.move_masks,
            colors=config.colors,
            color_strength=config.color_strength,
        )
    with restore_threads():
        with quiet_lightning():
            run = cli.build(
                replaced={name: value for name, value in replaced.items() if value is not None},
                data=data,
                callbacks=callbacks,
                owns_process=False,
            )
        try:
            with quiet_lightning():
                run.fit()
        except KeyboardInterrupt:
            # After a second interrupt the image may be half updated.
            if run.interrupted or not run.trainer.global_step:
                raise
    result = data.finish(run.module.image)
    picture = to_pil(result, data.alpha(*result.shape[-2:]))
    if display is not None:
        display(picture)
    return picture


def _open_display() -> Callable[[Image.Image], object]:
    """Returns a function that shows a picture in place of the one before.

    Raises:
        InputError: IPython is not installed.
    """
    try:
        handle = import_module("IPython.display").DisplayHandle()
    except ImportError as error:
        raise InputError(
            "Expected IPython for `show=True`, but it is not installed: run pip install ipython, or pass on_preview."
        ) from error
    is_shown = False

    def display(picture: Image.Image) -> None:
        nonlocal is_shown
        (handle.update if is_shown else handle.display)(picture)
        is_shown = True

    return display


def _parse_recipe(recipe: str | PathLike[str], options: dict[str, Any]) -> TransferCLI:
    """Parses a recipe with all options that are not None."""
    packaged = packaged_config(str(recipe))
    # The working folder may contain other files of these names.
    args = [f"--config={packaged if packaged.is_file() else recipe}", "--trainer.logger=false"]
    for name, value in options.items():
        if value is not None:
            args.append(f"--{name}={list(value) if isinstance(value, tuple | list) else value}")
    with quiet_lightning():
        return TransferCLI(args)


def _drop_losses(cli: TransferCLI, has_content: bool, has_style: bool) -> None:
    """Removes the losses whose pictures are missing, and the smoothness that is meant for both."""
    given = {"content": has_content, "style": has_style, None: True}
    cli.config.model.losses = {
        name: loss
        for name, loss in cli.config.model.losses.items()
        if given[_reference(loss.class_path)] and (name != "smooth" or (has_content and has_style))
    }


def _reference(class_path: str) -> str | None:
    """Returns the picture that the losses of a class compare with."""
    module, _, name = class_path.rpartition(".")
    reference: str | None = getattr(import_module(module), name).reference
    return reference
