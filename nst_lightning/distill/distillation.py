"""Training of the student as a Lightning module."""

from collections.abc import Iterable, Sequence

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.distill.linear_start import START_RIDGE, initialize_student
from nst_lightning.distill.painted_pool import PaintedPool
from nst_lightning.distill.regression import fit_ridge_regression, to_rows
from nst_lightning.distill.student import Student
from nst_lightning.distill.teachers import DISTILLED_LAYERS, Teachers
from nst_lightning.functional.gram import gram_matrix

# Positions of a layer at which its readout is initialized.
START_POSITIONS = 20_000


class Distillation(LightningModule):
    """Trains a thin VGG-19 whose features predict its teachers' features by a linear readout of each layer.

    The loss is the mean over layers of the share of the teacher's variance that the readout leaves unexplained, plus
    the relative squared distance between Gram matrices, which style losses depend on.

    Args:
        vgg: file of the teacher, a whole VGG-19 or its first layers.
        compressed: file of the compressed VGG-19, the teacher of layers that ``vgg`` lacks.
        widths: number of channels of each of the student's 13 convolutions.
        learning_rate: peak learning rate of Adam, relative to the root mean square of a layer's weights.
        gram_weight: weight of the distance between Gram matrices.
        painted: share of pictures that the student itself is stylizing (see :class:`PaintedPool`), 0 to 1.
        warm_up: number of steps in which the learning rate rises.
        seed: seed of the initialization and of the stylized pictures.
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
        self.student.build(DISTILLED_LAYERS)
        self.student.requires_grad_(True)
        # A backbone removes its own parameters from checkpoints; registered here again, the trained ones are saved.
        self.convolutions = self.student.convolutions
        # Checkpoints contain the names `convolutions`, `read_outs` and `started`.
        targets = self.teachers(torch.zeros(1, 3, 32, 32))
        self.read_outs = nn.ModuleDict(
            {
                layer: nn.Conv2d(width, targets[layer].shape[1], 1)
                for layer, width in zip(DISTILLED_LAYERS, self.student.widths, strict=True)
            }
        )
        self.learning_rate, self.gram_weight, self.warm_up, self.seed = learning_rate, gram_weight, warm_up, seed
        self.pool = PaintedPool(painted, seed)
        self.register_buffer("started", torch.tensor(False))

    @torch.no_grad()
    def initialize(self, batches: Iterable[Tensor]) -> None:
        """Sets the weights of the student and of the readouts by linear algebra.

        Args:
            batches: pictures ``(batch, 3, height, width)``, all of the same size.
        """
        images = torch.cat(list(batches)).to(self.device)
        initialize_student(self.student, self.teachers, images, self.seed)
        targets = self.teachers(images)
        for layer, value in self.student(images, DISTILLED_LAYERS).items():
            inputs, outputs = to_rows(value, START_POSITIONS), to_rows(targets[layer], START_POSITIONS)
            weight, bias = fit_ridge_regression(inputs, outputs, START_RIDGE)
            self.read_outs[layer].load_state_dict({"weight": weight[:, :, None, None], "bias": bias})
        self.started.fill_(True)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """Predicts the teachers' features of ``(batch, 3, height, width)``, sRGB in [0, 1], by layer name."""
        features = self.student(image, DISTILLED_LAYERS)
        return {layer: self.read_outs[layer](features[layer]) for layer in DISTILLED_LAYERS}

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        """Returns the loss of a batch of pictures, ``(batch, 3, height, width)``."""
        images = self.pool.exchange(batch, self.student)
        targets = self.teachers(images)
        predicted = self.predict(images)
        features = torch.stack([normalized_error(predicted[layer], targets[layer]) for layer in DISTILLED_LAYERS])
        grams = torch.stack([sketched_gram_error(predicted[layer], targets[layer]) for layer in DISTILLED_LAYERS])
        self.log("loss/features", features.mean())
        self.log("loss/gram", grams.mean())
        return features.mean() + self.gram_weight * grams.mean()

    def validation_step(self, batch: Tensor, batch_index: int) -> None:
        """Logs the unexplained variance of each layer on validation photographs."""
        targets, predicted = self.teachers(batch), self.predict(batch)
        for layer in DISTILLED_LAYERS:
            self.log(f"unexplained/{layer}", normalized_error(predicted[layer], targets[layer]))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Returns Adam with a learning rate that rises linearly and then falls to zero along a half cosine.

        Weights become smaller from layer to layer, so each layer's learning rate is relative to the size of its
        weights.
        """
        # Not in `setup`: only here are the weights of a checkpoint loaded, from which the learning rates follow.
        if not self.started:
            photographs = self.trainer.datamodule  # type: ignore[attr-defined]
            self.initialize(photographs.first_crops())
        groups = []
        for module in [*self.convolutions, *self.read_outs.values()]:
            size = float(next(module.parameters()).detach().square().mean().sqrt())
            groups.append({"params": list(module.parameters()), "lr": self.learning_rate * size})
        optimizer = torch.optim.Adam(groups)
        total = int(self.trainer.estimated_stepping_batches)
        rise = torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, 1.0, max(1, min(self.warm_up, total // 2)))
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, total - rise.total_iters))
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], [rise.total_iters])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def normalized_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Computes the squared error divided by the variance: the share of the variance that is left unexplained.

    Args:
        predicted: ``(batch, channels, height, width)``.
        target: the same shape.

    Returns:
        A scalar: 0 for an exact prediction, 1 for one that is no better than the mean of each channel.
    """
    predicted, target = predicted.float(), target.float()
    variance = (target - target.mean((0, 2, 3), keepdim=True)).square().mean()
    return (predicted - target).square().mean() / variance.clamp_min(1e-12)


def sketched_gram_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Computes the squared distance between Gram matrices divided by the target's squared norm.

    Both Gram matrices are those of random projections, new ones in each call and a quarter as many as there are
    channels: full Gram matrices of a teacher would cost more than the student.

    Args:
        predicted: ``(batch, channels, height, width)``.
        target: the same shape.

    Returns:
        A scalar, the mean over the batch.
    """
    channels = target.shape[1]
    directions = torch.randn(max(1, channels // 4), channels, 1, 1, device=target.device)
    gram = gram_matrix(functional.conv2d(predicted, directions))
    target_gram = gram_matrix(functional.conv2d(target, directions))
    errors = (gram - target_gram).square().sum((1, 2)) / target_gram.square().sum((1, 2)).clamp_min(1e-12)
    return errors.mean()
