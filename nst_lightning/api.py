"""Style transfer from notebooks and scripts."""

import os
from collections.abc import Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.cli import OptimizerCallable
from PIL import Image

from nst_lightning.backbones import Backbone
from nst_lightning.callbacks import StageProgressBar
from nst_lightning.cli.configs import packaged_config
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, from_pil, read_image, to_pil
from nst_lightning.losses import Loss
from nst_lightning.samples import locate
from nst_lightning.system.precision import Precision
from nst_lightning.system.threads import Threads, restore_threads
from nst_lightning.training.console import quiet_lightning

PictureSource = str | os.PathLike[str] | Image.Image


def stylize(
    content: PictureSource | None,
    style: PictureSource | Sequence[PictureSource] | None,
    size: int | None = None,
    steps: int | None = None,
    *,
    content_weight: float | None = None,
    style_weight: float | None = None,
    smooth_weight: float | None = None,
    content_layers: Sequence[str] | None = None,
    style_layers: Sequence[str] | None = None,
    losses: dict[str, Loss] | None = None,
    initialization: str | None = None,
    backbone: Backbone | None = None,
    optimizer: OptimizerCallable | None = None,
    ladder: Literal["none", "sqrt2", "octaves"] | None = None,
    seed: int | None = None,
    accelerator: str = "auto",
    precision: Precision | None = None,
    threads: Threads | None = None,
    progress: bool = True,
) -> Image.Image:
    """Paints a picture in the style of another one and returns it; writes nothing.

    Without a style it reconstructs the content, without a content it synthesizes a texture, both from noise.
    Arguments that are omitted have their values from the recipe ``configs/transfer.yaml``.

    Args:
        content: path or PIL image whose shapes are kept, or None.
        style: path or PIL image, or several of them, whose colors and texture are used, or None.
        size: long edge of the result in px.
        steps: evaluations of the objective.
        content_weight: factor on the content term.
        style_weight: factor on the style term, a whitened :class:`nst_lightning.GramLoss`.
        smooth_weight: factor on the total variation, which is part of the objective if there are content and style.
        content_layers: layers of the content term.
        style_layers: layers of the style term.
        losses: losses by name that replace those that the five arguments above describe.
        initialization: ``content``, ``noise``, ``gaussian``, ``style`` or the path of an image file; by default the
            content, or noise if one of the pictures is missing.
        backbone: the network.
        optimizer: creates an optimizer of the image.
        ladder: smaller sizes to start with; see :class:`nst_lightning.Plan`.
        seed: seed of the noise.
        accelerator: Lightning's: ``auto``, ``cpu``, ``gpu``, ``mps``.
        precision: precision of the network, ``32-true`` or ``bf16-mixed``; by default the second if it is native to the
            hardware.
        threads: number of threads on a CPU during the call, or ``auto`` to leave out cores that other processes use;
            by default torch's setting.
        progress: whether to show a progress bar.

    Returns:
        An RGB image, or RGBA if the content is transparent.

    Raises:
        InputError: an argument cannot be used.
    """
    if content is None and style is None and losses is None:
        raise InputError("Expected a content or a style, but got neither.")
    styles = [] if style is None else [style] if isinstance(style, str | os.PathLike | Image.Image) else list(style)
    has_both = content is not None and bool(styles)
    options = {
        "data.plan.size": size,
        "data.plan.steps": steps,
        "data.plan.ladder": ladder,
        "model.losses.content.weight": content_weight,
        "model.losses.content.layers": content_layers,
        "model.losses.style.weight": style_weight,
        "model.losses.style.layers": style_layers,
        "model.losses.smooth.weight": smooth_weight,
        "model.initialization": initialization or (None if has_both else "noise"),
        "seed_everything": seed,
        "trainer.accelerator": accelerator,
        "trainer.precision": precision,
        "threads": torch.get_num_threads() if threads is None else threads,
    }
    # Objects replace what the recipe configures; None keeps it.
    replaced = {"losses": losses, "optimizer": optimizer, "backbone": backbone}
    cli = _parse_recipe(options)
    if losses is None:
        _drop_losses(cli, content is not None, bool(styles))
    data = TransferData.from_pictures(
        None if content is None else _read_picture(content),
        [_read_picture(picture) for picture in styles],
        Plan(**cli.config.data.plan.as_dict()),
    )
    with quiet_lightning(), restore_threads():
        run = cli.build(
            replaced={name: value for name, value in replaced.items() if value is not None},
            data=data,
            callbacks=[StageProgressBar()] if progress else [],
            owns_process=False,
        )
        run.fit()
    height, width = run.module.image.shape[-2:]
    return to_pil(run.module.image, data.alpha(height, width))


def _parse_recipe(options: dict[str, Any]) -> TransferCLI:
    """Parses the recipe with all options that are not None."""
    args = [f"--config={packaged_config('transfer')}", "--trainer.logger=false"]
    for name, value in options.items():
        if value is not None:
            args.append(f"--{name}={list(value) if isinstance(value, tuple | list) else value}")
    with quiet_lightning():
        return TransferCLI(args)


def _drop_losses(cli: TransferCLI, has_content: bool, has_style: bool) -> None:
    """Removes the losses whose pictures are missing."""
    needed = {"content": has_content, "style": has_style, "smooth": has_content and has_style}
    losses = cli.config.model.losses
    cli.config.model.losses = {name: loss for name, loss in losses.items() if needed.get(name, True)}


def _read_picture(source: PictureSource) -> Picture:
    return from_pil(source) if isinstance(source, Image.Image) else read_image(locate(os.fspath(source)))
