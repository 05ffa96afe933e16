"""Training of the student."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.distill.pool import PaintedPool
from nst_lightning.distill.start import ridge_regression, start
from nst_lightning.distill.student import Student
from nst_lightning.distill.teachers import LAYERS, Teachers
from nst_lightning.functional.gram import gram_matrix


class Distillation(LightningModule):
    """Trains a thin VGG-19 whose features predict its teachers' by a linear map for each layer.

    The loss is the mean over layers of the teacher's variance that the map leaves unexplained, plus the relative
    squared distance between Gram matrices: what a style loss sees.

    Args:
        vgg: file of the teacher, a whole VGG-19 or its first layers.
        compressed: file of the compressed VGG-19, the teacher of layers that ``vgg`` lacks.
        widths: channels of the student's 13 convolutions.
        learning_rate: of Adam, at its peak, relative to the root mean square of a layer's weights.
        gram_weight: of the distance between Gram matrices.
        painted: share of pictures that are being painted by the student itself (see :class:`PaintedPool`), 0 to 1.
        warm_up: steps in which the learning rate rises.
        seed: of the start.
    """

    started: Tensor

    def __init__(
        self,
        vgg: str,
        widths: Sequence[int],
        compressed: str | None = None,
        learning_rate: float = 0.003,
        gram_weight: float = 0.3,
        painted: float = 0.5,
        warm_up: int = 50,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.teachers = Teachers(vgg, compressed)
        self.student = Student(widths, seed)
        self.student.build(LAYERS)
        self.student.requires_grad_(True)
        # A backbone keeps out of checkpoints; what is trained here stands in the module a second time, by this name.
        self.convolutions = self.student.convolutions
        self.read_outs = nn.ModuleDict(
            {layer: nn.Conv2d(width, channels, 1) for layer, width, channels in self._read_out_shapes()}
        )
        self.learning_rate, self.gram_weight, self.warm_up, self.seed = learning_rate, gram_weight, warm_up, seed
        self.pool = PaintedPool(painted, seed)
        self.register_buffer("started", torch.tensor(False))

    def _read_out_shapes(self) -> list[tuple[str, int, int]]:
        features = self.teachers(torch.zeros(1, 3, 32, 32))
        return [(layer, self.student.widths[n], features[layer].shape[1]) for n, layer in enumerate(LAYERS)]

    @torch.no_grad()
    def start(self, batches: Iterable[Tensor]) -> None:
        """Sets weights and read-outs by linear algebra; see :mod:`nst_lightning.distill.start`."""
        images = torch.cat(list(batches)).to(self.device)
        start(self.student, self.teachers, images, self.seed)
        targets = self.teachers(images)
        for layer, value in self.student(images, LAYERS).items():
            weight, bias = ridge_regression(_rows(value), _rows(targets[layer]))
            self.read_outs[layer].load_state_dict({"weight": weight[:, :, None, None], "bias": bias})
        self.started.fill_(True)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """The teachers' features as the student predicts them."""
        features = self.student(image, LAYERS)
        return {layer: self.read_outs[layer](features[layer]) for layer in LAYERS}

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        """Loss of a batch of pictures, ``(batch, 3, height, width)``."""
        images = self.pool.exchange(batch, self.student)
        targets = self.teachers(images)
        predicted = self.predict(images)
        features = torch.stack([unexplained(predicted[layer], targets[layer]) for layer in LAYERS])
        grams = torch.stack([gram_distance(predicted[layer], targets[layer]) for layer in LAYERS])
        self.log("loss/features", features.mean())
        self.log("loss/gram", grams.mean())
        return features.mean() + self.gram_weight * grams.mean()

    def validation_step(self, batch: Tensor, batch_index: int) -> None:
        """Logs the unexplained variance on photographs that were kept aside."""
        targets, predicted = self.teachers(batch), self.predict(batch)
        for layer in LAYERS:
            self.log(f"unexplained/{layer}", unexplained(predicted[layer], targets[layer]))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam; the learning rate rises linearly, then falls to zero as half a cosine.

        Weights get smaller from layer to layer, so each layer's rate is relative to their size.
        """
        # Here, since weights of a checkpoint are loaded by now and the rates depend on what they are.
        if not self.started:
            photographs = self.trainer.datamodule  # type: ignore[attr-defined]
            self.start(photographs.first_crops())
        modules = [*self.convolutions, *self.read_outs.values()]
        optimizer = torch.optim.Adam([self._group(module) for module in modules])
        total = int(self.trainer.estimated_stepping_batches)
        rise = torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, 1.0, max(1, min(self.warm_up, total // 2)))
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, total - rise.total_iters))
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], [rise.total_iters])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _group(self, module: nn.Module) -> dict[str, Any]:
        size = float(next(module.parameters()).detach().square().mean().sqrt())
        return {"params": list(module.parameters()), "lr": self.learning_rate * size}


def unexplained(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared error over variance: 0 is exact, 1 is no better than each channel's mean.

    Args:
        predicted: ``(batch, channels, height, width)``.
        target: the same shape.

    Returns:
        A scalar.
    """
    predicted, target = predicted.float(), target.float()
    variance = (target - target.mean((0, 2, 3), keepdim=True)).square().mean()
    return (predicted - target).square().mean() / variance.clamp_min(1e-12)


def gram_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared distance of Gram matrices over the target's squared norm, a scalar.

    Of a quarter as many random directions instead of all channels, others each time: the whole matrices of a teacher
    would cost more than the student.
    """
    channels = target.shape[1]
    directions = torch.randn(max(1, channels // 4), channels, 1, 1, device=target.device)
    value = gram_matrix(functional.conv2d(predicted, directions))
    aim = gram_matrix(functional.conv2d(target, directions))
    return ((value - aim).square().sum((1, 2)) / aim.square().sum((1, 2)).clamp_min(1e-12)).mean()


def _rows(features: Tensor, most: int = 20_000) -> Tensor:
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)
    return rows[:: max(1, len(rows) // most)]
