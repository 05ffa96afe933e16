"""The same machinery for notebooks and scripts."""

import os
from collections.abc import Sequence
from typing import Literal

import lightning.pytorch as pl
from lightning.pytorch.cli import OptimizerCallable
from PIL import Image

from nst_lightning.backbones import Backbone, SlimVGG19
from nst_lightning.callbacks import FiniteGuard, GracefulInterrupt, StageProgressBar
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, from_pil, read_image, to_pil
from nst_lightning.losses import ContentLoss, GramLoss, Loss, TotalVariationLoss
from nst_lightning.samples import locate
from nst_lightning.system.memory import free_bytes
from nst_lightning.system.precision import Precision, native_precision
from nst_lightning.training.console import quiet_lightning
from nst_lightning.training.memory_estimate import check_memory, estimate_bytes
from nst_lightning.training.module import StyleTransfer, lbfgs

Source = str | os.PathLike[str] | Image.Image

CONTENT_LAYERS = ("conv_3",)
STYLE_LAYERS = tuple(f"conv_{number}" for number in range(1, 11))
WHITENING = 0.5
SMOOTH_WEIGHT = 100.0


def stylize(
    content: Source | None,
    style: Source | Sequence[Source] | None,
    size: int = 512,
    steps: int = 300,
    *,
    content_weight: float = 1.0,
    style_weight: float = 1e3,
    smooth_weight: float = SMOOTH_WEIGHT,
    content_layers: Sequence[str] = CONTENT_LAYERS,
    style_layers: Sequence[str] = STYLE_LAYERS,
    losses: dict[str, Loss] | None = None,
    initialization: str | None = None,
    backbone: Backbone | None = None,
    optimizer: OptimizerCallable = lbfgs,
    ladder: Literal["none", "sqrt2", "octaves"] = "none",
    seed: int = 92,
    accelerator: str = "auto",
    precision: Precision | None = None,
    progress: bool = True,
) -> Image.Image:
    """Paints a picture in the style of another one and returns it; nothing is written.

    With a content alone it reconstructs the content, with a style alone it synthesizes a texture, both from noise.

    Args:
        content: path or PIL image whose shapes are kept, or None.
        style: path or PIL image, or several of them, whose look is taken, or None.
        size: long edge of the result in px.
        steps: evaluations of the objective.
        content_weight: factor on the content term.
        style_weight: factor on the style term, a :class:`nst_lightning.GramLoss` with ``whitening=0.5``.
        smooth_weight: factor on the total variation, where there are a content and a style.
        content_layers: where the content is compared.
        style_layers: where the style is compared.
        losses: terms of the objective in place of those that the five arguments above describe.
        initialization: ``content``, ``noise``, ``gaussian``, ``style`` or the path of an image file; the content, or
            noise where one of the pictures is missing, unless given.
        backbone: the network; the thin VGG-19 of the package unless given.
        optimizer: makes an optimizer of the image; L-BFGS unless given.
        ladder: smaller sizes to paint at first; see :class:`nst_lightning.data.plan.Plan`.
        seed: of the noise.
        accelerator: Lightning's: ``auto``, ``cpu``, ``gpu``, ``mps``.
        precision: of the network: ``32-true`` or ``bf16-mixed``; the latter where it is native unless given.
        progress: whether to show a bar.

    Returns:
        An RGB image, or RGBA where the content is transparent.

    Raises:
        InputError: something that was given cannot be used.
    """
    data = TransferData.from_pictures(
        None if content is None else _picture(content),
        [_picture(source) for source in _listed(style)],
        Plan(size=size, steps=steps, ladder=ladder),
    )
    module = StyleTransfer(
        backbone=SlimVGG19() if backbone is None else backbone,
        losses=losses or _losses(data, content_weight, style_weight, smooth_weight, content_layers, style_layers),
        initialization=initialization or ("content" if data.content and data.styles else "noise"),
        optimizer=optimizer,
    )
    chosen = precision or native_precision(accelerator)
    pl.seed_everything(seed, verbose=False)
    with quiet_lightning():
        trainer = _trainer(data, accelerator, chosen, progress)
        device = trainer.strategy.root_device
        check_memory(estimate_bytes(module, data, chosen, device=device), free_bytes(device))
        trainer.fit(module, datamodule=data)
    height, width = module.image.shape[-2:]
    return to_pil(module.image, data.alpha(height, width))


def _listed(style: Source | Sequence[Source] | None) -> list[Source]:
    if style is None:
        return []
    return [style] if isinstance(style, str | os.PathLike | Image.Image) else list(style)


def _picture(source: Source) -> Picture:
    return from_pil(source) if isinstance(source, Image.Image) else read_image(locate(os.fspath(source)))


def _losses(
    data: TransferData,
    content_weight: float,
    style_weight: float,
    smooth_weight: float,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
) -> dict[str, Loss]:
    losses: dict[str, Loss] = {}
    if data.content is not None:
        losses["content"] = ContentLoss(content_layers, content_weight)
    if data.styles:
        losses["style"] = GramLoss(style_layers, style_weight, whitening=WHITENING)
    if data.content is not None and data.styles and smooth_weight:
        losses["smooth"] = TotalVariationLoss(smooth_weight)
    if not losses:
        raise InputError("Expected a content or a style, but got neither.")
    return losses


def _trainer(data: TransferData, accelerator: str, precision: Precision, progress: bool) -> pl.Trainer:
    callbacks: list[pl.Callback] = [FiniteGuard(), GracefulInterrupt()]
    return pl.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=precision,
        max_epochs=len(data.stages),
        reload_dataloaders_every_n_epochs=1,
        callbacks=[*callbacks, StageProgressBar()] if progress else callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
    )
