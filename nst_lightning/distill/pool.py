"""Pictures that the student itself is painting, for it to learn what it gets wrong about them."""

import torch
from torch import Tensor, nn

from nst_lightning.distill.student import Student
from nst_lightning.functional.gram import gram_matrix
from nst_lightning.functional.pixels import mean_squared_error

STYLE_LAYERS = tuple(f"conv_{number}" for number in range(1, 9))
CONTENT_LAYER = "conv_7"


class PaintedPool(nn.Module):
    """Replaces a part of each batch by pictures on their way from a photograph to the style of another.

    An optimization finds pictures on which a network errs to its advantage; they look unlike photographs, and a
    student that saw only photographs is fooled by them. So the first pictures of a batch are painted a little further
    from step to step, by the student as it is, and shown to the teachers in between. Each starts as a crop, takes
    signed gradient steps towards the Gram matrices of another crop, and makes room for a new one after some time.
    The pool is no part of a checkpoint: it fills again.

    Args:
        share: of a batch, 0 to 1.
        seed: of the time each picture stays and the size of its steps.
        steps: after how many steps a picture makes room, on average.
    """

    def __init__(self, share: float, seed: int = 0, steps: int = 12) -> None:
        super().__init__()
        self.share, self.steps = share, steps
        self.generator = torch.Generator().manual_seed(seed)
        self.images, self.styles, self.contents = torch.empty(0), torch.empty(0), torch.empty(0)

    def exchange(self, batch: Tensor, student: Student) -> Tensor:
        """The batch, ``(batch, 3, height, width)``, with its first pictures replaced by painted ones."""
        count = int(self.share * len(batch))
        if count == 0:
            return batch
        if len(self.images) != count or self.images.shape != batch[:count].shape:
            self.images, self.contents, self.styles = batch[:count], batch[:count], batch[-count:]
        fresh = torch.rand(count, generator=self.generator) < 1 / self.steps
        fresh = fresh.to(batch.device)[:, None, None, None]
        self.contents = torch.where(fresh, batch[:count], self.contents)
        self.styles = torch.where(fresh, batch[-count:].roll(1, 0), self.styles)
        self.images = torch.where(fresh, batch[:count], self._painted(student))
        return torch.cat([self.images, batch[count:]])

    def _painted(self, student: Student) -> Tensor:
        with torch.enable_grad():
            images = self.images.detach().requires_grad_()
            features = student(images, STYLE_LAYERS)
            with torch.no_grad():
                styles = student(self.styles, STYLE_LAYERS)
                content = student(self.contents, (CONTENT_LAYER,))[CONTENT_LAYER]
            loss = _relative(features[CONTENT_LAYER], content).sum() * 0.05
            for layer in STYLE_LAYERS:
                loss = loss + _relative(gram_matrix(features[layer]), gram_matrix(styles[layer])).sum()
            (gradient,) = torch.autograd.grad(loss, images)
        # Of unit size in the mean: near to the aim the pictures go on trembling, and so cover its surroundings.
        gradient = gradient / gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-20)
        pace = 0.02 * torch.rand(len(images), 1, 1, 1, generator=self.generator).to(images.device) + 0.003
        return (self.images - pace * gradient.clamp(-4, 4)).detach()


def _relative(value: Tensor, target: Tensor) -> Tensor:
    return mean_squared_error(value, target) / target.float().square().mean().clamp_min(1e-12)
