"""The data module: content, styles and plan of a run."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import lightning.pytorch as pl
import torch
from torch import Tensor

from nst_lightning.data.content_source import ContentSource, NoContent, StillContent
from nst_lightning.data.film_content import FilmContent, FilmOptions
from nst_lightning.data.plan import Plan, Position, Stage
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, read_image
from nst_lightning.images.resize import fit_long_edge, resize
from nst_lightning.samples import locate
from nst_lightning.video.film import FrameSelection, is_film
from nst_lightning.video.flow import Flow, resolve_flow

DEFAULT_PLAN = Plan()


@dataclass(frozen=True)
class StagePictures:
    """The pictures of a stage, at the size of the stage.

    Attributes:
        content: ``(1, 3, height, width)`` in [0, 1], or None.
        styles: ``(1, 3, any, any)`` each, all with the same long edge.
        blend_weights: weight of each style; they sum to 1.
        previous: painted frames before this one in its shot, by their distance in frames. Each is warped to this frame,
            ``(1, 3, height, width)``, with the reliability of the warp, ``(1, 1, height, width)`` in [0, 1].
        start: image that the stage starts from, ``(1, 3, height, width)``, if it follows a painted frame; else None.
    """

    content: Tensor | None
    styles: list[Tensor]
    blend_weights: list[float]
    previous: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    start: Tensor | None = None

    def to(self, device: torch.device) -> "StagePictures":
        """Moves all pictures to a device."""
        return StagePictures(
            content=None if self.content is None else self.content.to(device),
            styles=[style.to(device) for style in self.styles],
            blend_weights=self.blend_weights,
            previous={offset: (image.to(device), mask.to(device)) for offset, (image, mask) in self.previous.items()},
            start=None if self.start is None else self.start.to(device),
        )


class StepLoader:
    """Counts the training steps of a stage; replaces a data loader.

    It has an empty state because Lightning resumes within an epoch only with a loader that has one. The training loop
    counts the steps itself.

    Args:
        steps: number of training steps.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.steps))

    def state_dict(self) -> dict[str, int]:
        """Returns an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Ignores the state, which is empty."""


class TransferData(pl.LightningDataModule):
    """Content, styles and plan of a run.

    The content is a still or a film: mp4, mov, mkv, webm, avi, animated gif or webp, a folder of numbered frames, or
    `sample:clip`. The arguments from `first` to `compare` only affect films, whose frames are painted in order.

    Args:
        content: image file, film, or `sample:NAME`, whose shapes are kept; omit it for texture synthesis.
        style: image file, `sample:NAME`, or a list of them, whose colors and texture are transferred; several styles
            are blended. Omit it for content reconstruction.
        style_weights: weights of several styles, in their order; only their ratio matters. Equal by default.
        plan: sizes and numbers of steps.
        first: number of the first frame to paint, from 0.
        last: number of the last frame to paint; the last frame of the film by default.
        stride: paint every stride-th frame.
        frame_rate: frames per second of a folder of frames; other films store their own.
        flow: optical flow of the film: `dis` (OpenCV, fast), `raft` (torchvision, slower, downloads its weights once),
            `none` (nothing moves), or a path of .flo files with {frame} and {to} for the numbers of two painted frames,
            such as `flow/{frame}_{to}.flo`.
        blend: start of a frame: 0 is its content, 1 the previous painted frame, warped along the flow. Where the flow
            is unreliable, half of this value applies.
        compare: whether to also write a film with content and result next to each other.
        style_scale: size of the styles relative to the image. Larger values give larger strokes.
    """

    def __init__(
        self,
        content: str | None = None,
        style: list[str] | str | None = None,
        style_weights: list[float] | None = None,
        plan: Plan = DEFAULT_PLAN,
        first: int = 0,
        last: int | None = None,
        stride: int = 1,
        frame_rate: float = 24.0,
        flow: Flow | str = "dis",
        blend: float = 1.0,
        compare: bool = False,
        style_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 < style_scale < math.inf:
            raise InputError(f"Expected `style_scale` to be positive, but got {style_scale}.")
        self.style_files = [style] if isinstance(style, str) else style or []
        self.blend_weights = _normalize(style_weights, len(self.style_files))
        self.content_file = content
        selection = FrameSelection(first, last, stride)
        self.film_options = FilmOptions(selection, frame_rate, resolve_flow(flow), blend, compare)
        self.style_scale = style_scale
        self.plan = plan
        self.iterations_per_step = plan.iterations_per_step
        self.stages = plan.stages()
        self.source: ContentSource | None = None
        self.styles: list[Picture] = []
        self._resized_styles: tuple[int, list[Tensor]] = (0, [])
        self._resumed_at = Position(0, 0)

    @classmethod
    def from_pictures(
        cls, content: Picture | None, styles: Sequence[Picture], plan: Plan, style_weights: list[float] | None = None
    ) -> "TransferData":
        """Creates the data of a run from pictures in memory.

        Args:
            content: picture whose shapes are kept, or None.
            styles: pictures whose colors and texture are transferred.
            plan: sizes and numbers of steps.
            style_weights: weights of the styles; equal by default.
        """
        data = cls(plan=plan)
        data.styles = list(styles)
        data.blend_weights = _normalize(style_weights, len(styles))
        if content is not None:
            data.source = StillContent(content)
        elif styles:
            data.source = NoContent(*styles[0].image.shape[-2:])
        return data

    @property
    def content(self) -> Picture | None:
        """The content if it is a still, after :meth:`setup`; else None."""
        return None if self.source is None else self.source.picture

    @property
    def film(self) -> FilmContent | None:
        """The content if it is a film, after :meth:`setup`; else None."""
        return self.source if isinstance(self.source, FilmContent) else None

    def setup(self, stage: str) -> None:
        """Reads the pictures once. A film is decoded completely, in order to know its frames.

        Args:
            stage: ignored; the argument is Lightning's.

        Raises:
            InputError: neither content nor style is given, or a file cannot be read.
        """
        if not self.styles:
            self.styles = [read_image(locate(style)) for style in self.style_files]
        if self.source is None:
            self.source = self._open_content()
            self.stages = self.source.stages(self.plan)

    def _open_content(self) -> ContentSource:
        if self.content_file is not None:
            path = locate(self.content_file)
            if is_film(path):
                return FilmContent(path, self.film_options, self.plan.size)
            return StillContent(read_image(path))
        if not self.styles:
            raise InputError("Expected a content or a style, but got neither: add --data.content FILE.")
        return NoContent(*self.styles[0].image.shape[-2:])

    def teardown(self, stage: str) -> None:
        """Closes a film."""
        if self.source is not None:
            self.source.close()

    def require_previous_frames(self, offsets: Collection[int]) -> None:
        """See :meth:`ContentSource.require_previous_frames`."""
        self._require_source().require_previous_frames(offsets)

    def shape(self, stage: Stage) -> tuple[int, int]:
        """Returns height and width of the image in px: the proportions of the content, or else of the first style."""
        return self._require_source().shape(stage.size)

    def pictures(self, stage: Stage) -> StagePictures:
        """Prepares the pictures of a stage on the CPU, after :meth:`setup`."""
        pictures, styles = self._require_source().pictures(stage), self.styles_at(stage.size)
        return StagePictures(pictures.content, styles, self.blend_weights, pictures.previous, pictures.start)

    @property
    def canvas(self) -> tuple[int, int]:
        """Original height and width in px of the picture that gives the image its proportions, after :meth:`setup`."""
        return self._require_source().height, self._require_source().width

    def styles_at(self, size: int) -> list[Tensor]:
        """Resizes the styles for an image with a long edge of ``size`` px, ``(1, 3, any, any)`` each."""
        # Consecutive frames of a film have the same size.
        if self._resized_styles[0] != size:
            long_edge = max(1, round(size * self.style_scale))
            resized = []
            for style in self.styles:
                height, width = style.image.shape[-2:]
                resized.append(resize(style.image, *fit_long_edge(height, width, long_edge)))
            self._resized_styles = size, resized
        return self._resized_styles[1]

    def alpha(self, height: int, width: int) -> Tensor | None:
        """Returns the opacity of the content, ``(1, 1, height, width)`` in [0, 1], or None if it is opaque."""
        if self.content is None or self.content.alpha is None:
            return None
        return resize(self.content.alpha, height, width)

    def resume_at(self, position: Position) -> None:
        """Makes :meth:`train_dataloader` start at a position inside a stage."""
        self._resumed_at = position

    def train_dataloader(self) -> StepLoader:
        """Returns the loader of the current stage, which is Lightning's current epoch."""
        assert self.trainer is not None
        number = min(self.trainer.current_epoch, len(self.stages) - 1)
        # The steps done need not be a multiple of `iterations_per_step`, which may have changed since.
        done = self._resumed_at.step if number == self._resumed_at.stage else 0
        remaining = self.stages[number].steps - done
        return StepLoader(self.training_steps(done) + self.training_steps(remaining))

    def step_ends(self) -> set[int]:
        """Returns the total numbers of evaluations after which a training step ends."""
        starts = [sum(stage.steps for stage in self.stages[:number]) for number in range(len(self.stages))]
        return {
            start + min(number * self.iterations_per_step, stage.steps)
            for start, stage in zip(starts, self.stages, strict=True)
            for number in range(1, self.training_steps(stage.steps) + 1)
        }

    def training_steps(self, evaluations: int) -> int:
        """Returns the number of training steps that contain a number of evaluations."""
        # Rounded up: the last training step of a stage may be shorter.
        return -(-evaluations // self.iterations_per_step)

    def _require_source(self) -> ContentSource:
        if self.source is None:
            raise RuntimeError("Expected TransferData to be set up: call setup() first.")
        return self.source


def _normalize(weights: Sequence[float] | None, count: int) -> list[float]:
    """Scales the weights of the styles so that they sum to 1."""
    if weights is None:
        return [1 / count for _ in range(count)]
    if len(weights) != count or not weights or min(weights) < 0 or sum(weights) <= 0:
        raise InputError(
            f"Expected `style_weights` to have a value of 0 or more for each of the {count} styles, but got {weights}."
        )
    return [weight / sum(weights) for weight in weights]
