"""What is painted: the pictures of a run and its plan."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import lightning.pytorch as pl
import torch
from torch import Tensor

from nst_lightning.data.plan import Plan, Position, Stage
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, read_image
from nst_lightning.images.resize import fit_long_edge, resize
from nst_lightning.samples import locate

DEFAULT_PLAN = Plan()


@dataclass(frozen=True)
class StagePictures:
    """The pictures of a stage at its size.

    Attributes:
        content: ``(1, 3, height, width)``, or None.
        styles: ``(1, 3, any, any)`` each, with the same long edge.
        shares: how much each style counts; they sum to 1.
        before: of a film, the painted frames before this one in its shot; see
            :meth:`nst_lightning.losses.base.Loss.look_back`.
        start: what a frame that goes on from another one starts from, ``(1, 3, height, width)``; None elsewhere.
    """

    content: Tensor | None
    styles: list[Tensor]
    blend_weights: list[float]
    before: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    start: Tensor | None = None

    def to(self, device: torch.device) -> "StagePictures":
        """The same on a device."""
        return StagePictures(
            content=None if self.content is None else self.content.to(device),
            styles=[style.to(device) for style in self.styles],
            blend_weights=self.blend_weights,
            before={offset: (image.to(device), mask.to(device)) for offset, (image, mask) in self.before.items()},
            start=self.start,
        )


class StepLoader:
    """A loader that counts the training steps of a stage.

    It can be taken up in the middle: the loop knows how many steps were made, so there is nothing to keep, and having
    these two methods tells Lightning so.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.steps))

    def state_dict(self) -> dict[str, int]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore."""


class TransferData(pl.LightningDataModule):
    """The pictures to paint from and the plan to paint by.

    Args:
        content: image file, or `sample:NAME`, whose shapes are kept; none for texture synthesis.
        style: image file, or `sample:NAME`, or a list of them, whose look is taken; none for content reconstruction.
            The looks of several styles are blended.
        style_weights: how much each of several styles counts, in their order; only their ratio matters. Equal unless
            given.
        plan: how large and how long to paint.
        style_scale: size of the styles over that of the image. Larger ones give larger strokes.
    """

    def __init__(
        self,
        content: str | None = None,
        style: list[str] | str | None = None,
        style_weights: list[float] | None = None,
        plan: Plan = DEFAULT_PLAN,
        style_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 < style_scale < math.inf:
            raise InputError(f"Expected `style_scale` to be positive, but got {style_scale}.")
        self.style_scale = style_scale
        self.content_file = content
        self.style_files = [style] if isinstance(style, str) else style or []
        self.blend_weights = _shares(len(self.style_files), style_weights)
        self.stages = plan.stages()
        self.iterations_per_step = plan.iterations_per_step
        self._taken_up = Position(0, 0)
        self.content: Picture | None = None
        self.styles: list[Picture] = []

    @classmethod
    def from_pictures(
        cls, content: Picture | None, styles: Sequence[Picture], plan: Plan, style_weights: list[float] | None = None
    ) -> "TransferData":
        """The data of a run whose pictures are at hand instead of in files."""
        data = cls(plan=plan)
        data.content, data.styles = content, list(styles)
        data.blend_weights = _shares(len(styles), style_weights)
        return data

    def setup(self, stage: str) -> None:
        """Reads the pictures, once.

        Raises:
            InputError: neither content nor style is given, or a file is none that can be read.
        """
        if self.content_file is not None and self.content is None:
            self.content = read_image(locate(self.content_file))
        self._read_styles()
        if self.content is None and not self.styles:
            raise InputError("Expected a content or a style, but got neither: add --data.content FILE.")

    def _read_styles(self) -> None:
        if self.style_files and not self.styles:
            self.styles = [read_image(locate(style)) for style in self.style_files]

    def set_previous_frames(self, offsets: Collection[int]) -> None:
        """Says which frames before the one that is painted will be wanted; a still picture has none.

        Args:
            offsets: how many frames before.

        Raises:
            InputError: they cannot be given.
        """

    def shape(self, stage: Stage) -> tuple[int, int]:
        """Height and width of the image in px: the content's, or the first style's where there is no content."""
        canvas = self.styles[0] if self.content is None else self.content
        height, width = canvas.image.shape[-2:]
        return fit_long_edge(height, width, stage.size)

    def pictures(self, stage: Stage) -> StagePictures:
        """The pictures at the size of a stage, on the CPU; after :meth:`setup`."""
        content = None if self.content is None else _at_size(self.content.image, stage.size)
        return StagePictures(content, self.styles_at(stage.size), self.blend_weights)

    def styles_at(self, size: int) -> list[Tensor]:
        """The styles for an image with a long edge of ``size`` px."""
        return [_at_size(style.image, max(1, round(size * self.style_scale))) for style in self.styles]

    def alpha(self, height: int, width: int) -> Tensor | None:
        """The transparency of the content at the size of the image, ``(1, 1, height, width)``, or None."""
        if self.content is None or self.content.alpha is None:
            return None
        return resize(self.content.alpha, height, width)

    def resume_at(self, position: Position) -> None:
        """Says where a run goes on."""
        self._taken_up = position

    def train_dataloader(self) -> StepLoader:
        """The training steps of the stage that Lightning's current epoch is."""
        assert self.trainer is not None
        number = min(self.trainer.current_epoch, len(self.stages) - 1)
        made = self._taken_up.step if number == self._taken_up.stage else 0
        left = self.stages[number].steps - made
        return StepLoader(self.training_steps(made) + self.training_steps(left))

    def ends(self) -> set[int]:
        """After how many evaluations in all a training step ends."""
        before = [sum(stage.steps for stage in self.stages[:number]) for number in range(len(self.stages))]
        return {
            begun + min(number * self.iterations_per_step, stage.steps)
            for begun, stage in zip(before, self.stages, strict=True)
            for number in range(1, self.training_steps(stage.steps) + 1)
        }

    def training_steps(self, evaluations: int) -> int:
        """How many training steps make so many evaluations."""
        return -(-evaluations // self.iterations_per_step)


def _shares(count: int, weights: Sequence[float] | None) -> list[float]:
    if weights is None:
        return [1 / count for _ in range(count)]
    if len(weights) != count or not weights or min(weights) < 0 or sum(weights) <= 0:
        raise InputError(
            f"Expected `style_weights` to have a value of 0 or more for each of the {count} styles, but got {weights}."
        )
    return [weight / sum(weights) for weight in weights]


def _at_size(image: Tensor, size: int) -> Tensor:
    height, width = image.shape[-2:]
    return resize(image, *fit_long_edge(height, width, size))
