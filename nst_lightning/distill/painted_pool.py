"""A pool of pictures that the student itself is stylizing, added to the training data."""

import torch
from torch import Tensor, nn

from nst_lightning.distill.student import Student
from nst_lightning.functional.gram import gram_matrix
from nst_lightning.functional.pixels import mean_squared_error

# The objective of these pictures.
POOL_STYLE_LAYERS = tuple(f"conv_{number}" for number in range(1, 9))
POOL_CONTENT_LAYER = "conv_7"
POOL_CONTENT_WEIGHT = 0.05


class PaintedPool(nn.Module):
    """Replaces part of each batch by pictures that are partway from a photograph to the style of another.

    An optimization finds pictures on which a network's errors lower the loss. Such pictures differ from photographs,
    and a student trained on photographs alone fails on them. The student therefore stylizes the first pictures of a
    batch, one step of optimization per training step, and both the student and the teachers see them in between. Each
    picture starts as a crop, moves toward the Gram matrices of another crop, and is replaced by a new crop after a
    random number of steps. The pool is not part of a checkpoint; it fills again after a resume.

    Args:
        share: share of a batch that is replaced, 0 to 1.
        seed: seed of the replacements and of the step sizes.
        steps: mean number of steps until a picture is replaced.
    """

    def __init__(self, share: float, seed: int = 0, steps: int = 12) -> None:
        super().__init__()
        self.share, self.steps = share, steps
        self.generator = torch.Generator().manual_seed(seed)
        self.images, self.styles, self.contents = torch.empty(0), torch.empty(0), torch.empty(0)

    def exchange(self, batch: Tensor, student: Student) -> Tensor:
        """Advances the pool by one step and puts its pictures first in the batch.

        Args:
            batch: ``(batch, 3, height, width)``; new pictures of the pool come from here.
            student: the network that stylizes.

        Returns:
            The same shape.
        """
        count = int(self.share * len(batch))
        if count == 0:
            return batch
        if len(self.images) != count or self.images.shape != batch[:count].shape:
            self.images, self.contents, self.styles = batch[:count], batch[:count], batch[-count:]
        is_new = torch.rand(count, generator=self.generator) < 1 / self.steps
        is_new = is_new.to(batch.device)[:, None, None, None]
        self.contents = torch.where(is_new, batch[:count], self.contents)
        self.styles = torch.where(is_new, batch[-count:].roll(1, 0), self.styles)
        self.images = torch.where(is_new, batch[:count], self._stylize(student))
        return torch.cat([self.images, batch[count:]])

    def _stylize(self, student: Student) -> Tensor:
        """Returns the pictures after one step of optimization."""
        with torch.enable_grad():
            images = self.images.detach().requires_grad_()
            features = student(images, POOL_STYLE_LAYERS)
            with torch.no_grad():
                styles = student(self.styles, POOL_STYLE_LAYERS)
                content = student(self.contents, (POOL_CONTENT_LAYER,))[POOL_CONTENT_LAYER]
            loss = _relative_error(features[POOL_CONTENT_LAYER], content).sum() * POOL_CONTENT_WEIGHT
            for layer in POOL_STYLE_LAYERS:
                loss = loss + _relative_error(gram_matrix(features[layer]), gram_matrix(styles[layer])).sum()
            (gradient,) = torch.autograd.grad(loss, images)
        # Steps have the same mean size throughout: close to the minimum the pictures move around it and so sample
        # its neighborhood.
        gradient = gradient / gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-20)
        step_size = 0.02 * torch.rand(len(images), 1, 1, 1, generator=self.generator).to(images.device) + 0.003
        return (self.images - step_size * gradient.clamp(-4, 4)).detach()


def _relative_error(value: Tensor, target: Tensor) -> Tensor:
    return mean_squared_error(value, target) / target.float().square().mean().clamp_min(1e-12)
