"""The data module: content, styles and plan of a run."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from nst_lightning.data.content_source import ContentSource, NoContent, StillContent
from nst_lightning.data.film_content import FilmContent, FilmOptions
from nst_lightning.data.palette import Palette
from nst_lightning.data.plan import Plan, Position, Stage
from nst_lightning.data.style_set import StyleSet
from nst_lightning.data.style_source import StyleMatch, StyleSource, parse_styles
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, read_image
from nst_lightning.images.resize import resize
from nst_lightning.samples import locate
from nst_lightning.video.film import FrameSelection, is_film
from nst_lightning.video.flow import Flow, resolve_flow

DEFAULT_PLAN = Plan()
DEFAULT_PALETTE = Palette()


@dataclass(frozen=True)
class StagePictures:
    """The pictures of a stage, at the size of the stage.

    Attributes:
        content: ``(1, 3, height, width)`` in [0, 1], or None.
        styles: the styles in every size and direction in which they are used, ``(1, 3, any, any)`` each.
        blend_weights: weight of each of `styles`; they sum to 1.
        previous: painted frames before this one in its shot, by their distance in frames. Each is warped to this frame,
            ``(1, 3, height, width)``, with the reliability of the warp, ``(1, 1, height, width)`` in [0, 1].
        start: image that the stage starts from, ``(1, 3, height, width)``, if it follows a painted frame; else None.
        recolored: the content with the colors of the start, ``(1, 3, height, width)``, or None if they are its own.
    """

    content: Tensor | None
    styles: list[Tensor]
    blend_weights: list[float]
    previous: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    start: Tensor | None = None
    recolored: Tensor | None = None

    @property
    def start_content(self) -> Tensor | None:
        """The content as the image starts from it: with the colors of the start."""
        return self.content if self.recolored is None else self.recolored

    def to(self, device: torch.device) -> "StagePictures":
        """Moves all pictures to a device."""
        return StagePictures(
            content=None if self.content is None else self.content.to(device),
            styles=[style.to(device) for style in self.styles],
            blend_weights=self.blend_weights,
            previous={offset: (image.to(device), mask.to(device)) for offset, (image, mask) in self.previous.items()},
            start=None if self.start is None else self.start.to(device),
            recolored=None if self.recolored is None else self.recolored.to(device),
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
        content: image file, film, or `sample:NAME`, whose shapes are kept; omit it for texture synthesis. In
            `fit` also `start`, the picture that the run starts from, or `stored`, what this picture was painted from.
        style: image file, `sample:NAME`, or a list of them, whose colors and texture are transferred; several styles
            are blended. Omit it for content reconstruction. Instead of a file, a mapping with `file` and options of
            this style: `weight`, `scale` and `rotation`. In `fit` also `stored`, the style in which the picture that
            the run starts from was painted.
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
        style_scale: size of the styles relative to the image, or several sizes whose statistics are averaged. Larger
            values give larger strokes.
        style_match: what of a style is made equal to the image before `style_scale` applies: the `long` edge, the
            `short` edge, or the `area`.
        style_rotation: degrees counterclockwise by which the styles are rotated, a multiple of 90, or several whose
            statistics are averaged.
        palette: how far colors are matched to those of the styles.
    """

    def __init__(
        self,
        content: str | None = None,
        style: list[str | dict[str, Any]] | dict[str, Any] | str | None = None,
        style_weights: list[float] | None = None,
        plan: Plan = DEFAULT_PLAN,
        first: int = 0,
        last: int | None = None,
        stride: int = 1,
        frame_rate: float = 24.0,
        flow: Flow | str = "dis",
        blend: float = 1.0,
        compare: bool = False,
        style_scale: float | list[float] = 1.0,
        style_match: StyleMatch = "long",
        style_rotation: int | list[int] = 0,
        palette: Palette = DEFAULT_PALETTE,
    ) -> None:
        super().__init__()
        self.styles = StyleSet(parse_styles(style), style_weights, style_scale, style_rotation, style_match)
        self.palette = palette
        self.content_file = content
        selection = FrameSelection(first, last, stride)
        self.film_options = FilmOptions(selection, frame_rate, resolve_flow(flow), blend, compare)
        self.plan = plan
        self.iterations_per_step = plan.iterations_per_step
        self.stages = plan.stages()
        self.source: ContentSource | None = None
        self._resumed_at = Position(0, 0)

    @classmethod
    def from_pictures(
        cls,
        content: Picture | None,
        styles: Sequence[Picture | StyleSource],
        plan: Plan,
        style_weights: list[float] | None = None,
        **options: Any,
    ) -> "TransferData":
        """Creates the data of a run from pictures in memory.

        Args:
            content: picture whose shapes are kept, or None.
            styles: pictures whose colors and texture are transferred.
            plan: sizes and numbers of steps.
            style_weights: weights of the styles; equal by default.
            options: further arguments of the class, such as `style_scale` and `palette`.
        """
        sources = [StyleSource(style) if isinstance(style, Picture) else style for style in styles]
        data = cls(plan=plan, **(options | {"style": sources, "style_weights": style_weights}))
        if content is not None:
            data.source = StillContent(content)
        elif styles:
            data.source = NoContent(*data.styles.pictures[0].image.shape[-2:])
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
            InputError: neither content nor style is given, a file cannot be read, or there are no styles whose colors
                could be matched.
        """
        pictures = self.styles.pictures
        if self.palette.is_used and not pictures:
            raise InputError(
                "Expected a style whose colors `palette` matches, but got none: add --data.style FILE, or set "
                "`palette.start` and `palette.result` to 0."
            )
        if self.source is None:
            self.source = self._open_content()
            self.stages = self.source.stages(self.plan)

    def _open_content(self) -> ContentSource:
        if self.content_file is not None:
            path = locate(self.content_file)
            if is_film(path):
                return FilmContent(path, self.film_options, self.plan.size)
            return StillContent(read_image(path))
        if not self.styles.pictures:
            raise InputError("Expected a content or a style, but got neither: add --data.content FILE.")
        return NoContent(*self.styles.pictures[0].image.shape[-2:])

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
        recolor = partial(self._recolor, stage) if self.palette.start else None
        pictures, styles = self._require_source().pictures(stage, recolor), self.styles.resize(self.shape(stage))
        blend_weights = [variant.weight for variant in self.styles.variants]
        return StagePictures(
            pictures.content, styles, blend_weights, pictures.previous, pictures.start, pictures.recolored
        )

    def _recolor(self, stage: Stage, content: Tensor) -> Tensor:
        """Gives a content the colors that the stage starts with."""
        return self._match_colors(content, self._require_source().shot_content(stage, content), self.palette.start)

    def finish(self, image: Tensor, frame: int = 0) -> Tensor:
        """Returns an image as a user sees it: with the colors of the styles, as far as ``palette.result`` says.

        All frames of a shot have the map of its first frame, because maps of their own would flicker.

        Args:
            image: ``(1, 3, height, width)``; it stays as it is.
            frame: number of the frame, in a film.

        Returns:
            ``(1, 3, height, width)``; `image` itself if no colors are matched.
        """
        if not self.palette.result:
            return image
        shown = image.detach().clamp(0, 1)
        return self._match_colors(shown, self._require_source().shot_image(frame, shown), self.palette.result)

    def _match_colors(self, image: Tensor, first: Tensor, strength: float) -> Tensor:
        """Matches the colors of a frame with the map of the first frame in its shot."""
        height, width = image.shape[-2:]
        source = self.palette.measure(first, self.alpha(height, width))
        return self.palette.match(image, source, self.styles.measure_colors((height, width), self.palette), strength)

    @property
    def canvas(self) -> tuple[int, int]:
        """Original height and width in px of the picture that gives the image its proportions, after :meth:`setup`."""
        return self._require_source().height, self._require_source().width

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
