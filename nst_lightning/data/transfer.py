"""The data module: content, styles and plan of a run."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from nst_lightning.data.colors import ColorMode
from nst_lightning.data.content_source import ContentSource, NoContent, StillContent
from nst_lightning.data.film_content import FilmContent, FilmOptions
from nst_lightning.data.palette import Palette
from nst_lightning.data.placement import ImageMasks, MaskOptions, Rest
from nst_lightning.data.plan import Plan, Position, Stage
from nst_lightning.data.recoloring import Recoloring
from nst_lightning.data.style_set import StyleSet
from nst_lightning.data.style_source import StyleMatch, StyleSource, parse_styles
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, read_image
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
        style_numbers: number of the style that each of `styles` is a variant of; each its own by default.
        style_regions: weight of each pixel of each of `styles`, ``(1, 1, any, any)`` of its size, or None for all.
        declared_numbers: number in ``data.style`` of each style, where styles with a map count once for each of its
            colors; each its own by default.
        shares: share of each style at each pixel of the image, ``(1, styles, height, width)``, at most 1 in sum; None
            if the styles are blended equally everywhere.
        hold: factor on the terms of the content at each pixel, ``(1, 1, height, width)``, or None for 1.
    """

    content: Tensor | None
    styles: list[Tensor]
    blend_weights: list[float]
    previous: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    start: Tensor | None = None
    recolored: Tensor | None = None
    style_numbers: Sequence[int] = ()
    style_regions: Sequence[Tensor | None] = ()
    declared_numbers: Sequence[int] = ()
    shares: Tensor | None = None
    hold: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.styles)
        defaults = {
            "style_numbers": self.style_numbers or range(count),
            "style_regions": self.style_regions or [None] * count,
            "declared_numbers": self.declared_numbers or range(max(self.style_numbers, default=count - 1) + 1),
        }
        for name, value in defaults.items():
            object.__setattr__(self, name, list(value))

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
            style_numbers=self.style_numbers,
            declared_numbers=self.declared_numbers,
            style_regions=[None if region is None else region.to(device) for region in self.style_regions],
            shares=None if self.shares is None else self.shares.to(device),
            hold=None if self.hold is None else self.hold.to(device),
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
        # Not a range: a run may get more steps while it is in the stage.
        number = 0
        while number < self.steps:
            yield number
            number += 1

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
            this style: `weight`, `scale`, `rotation`, `colors` and `color_strength`; `mask`, the picture that says
            where the style goes, with `invert`; `region`, the part of the style that is used; or `map`, see
            `content_map`. In `fit` also `stored`, the style in which the picture that the run starts from was painted.
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
        content_map: color-coded picture of the content. An area gets the styles that have its color in their `map`.
        rest: what happens where no mask applies: `content` (the content stays as it is), or a number: that style goes
            there, from 0. By default it is an error.
        hold: mask, white where the content is held more strongly.
        hold_weight: factor of the content terms where `hold` is white.
        style_strength: gray picture that lowers the style where it is darker than white.
        move_masks: whether still masks of a film follow the motion since the first frame of each shot.
        colors: whose colors the result has: those of the painting (`style`); those of the content, to which the styles
            are recolored first (`content`); the painting's lightness with exactly the content's chroma (`luminance`);
            or those of the painting with start and result matched to them (`match`).
        color_strength: how far `colors` goes from `style`, 0, to 1.
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
        content_map: str | None = None,
        rest: Rest = None,
        hold: str | None = None,
        hold_weight: float = 10.0,
        style_strength: str | None = None,
        move_masks: bool = False,
        colors: ColorMode = "style",
        color_strength: float = 1.0,
    ) -> None:
        super().__init__()
        self.styles = StyleSet(
            parse_styles(style), style_weights, style_scale, style_rotation, style_match, colors, color_strength
        )
        self.mask_options = MaskOptions(content_map, rest, hold, hold_weight, style_strength, move_masks)
        self.mask_options.check_styles(self.styles.sources)
        self._colors = colors
        self.palette = palette
        self.content_file = content
        selection = FrameSelection(first, last, stride)
        self.film_options = FilmOptions(selection, frame_rate, resolve_flow(flow), blend, compare)
        self.plan = plan
        self.iterations_per_step = plan.iterations_per_step
        self.stages = plan.stages()
        self.source: ContentSource | None = None
        self._masks: ImageMasks | None = None
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
        if data.source is not None:
            data._read_masks()
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
            InputError: neither content nor style is given, a file cannot be read, there are no styles whose colors
                could be matched or changed, or no content whose colors should be kept.
        """
        pictures = self.styles.pictures
        if self.palette.is_used and not pictures:
            raise InputError(
                "Expected a style whose colors `palette` matches, but got none: add --data.style FILE, or set "
                "`palette.start` and `palette.result` to 0."
            )
        if self._colors != "style" and not pictures:
            raise InputError(f"Expected a style for `colors: {self._colors}`, but got none: add --data.style FILE.")
        if self.source is None:
            self.source = self._open_content()
            self.stages = self.source.stages(self.plan)
        self._read_masks()
        _ = self._recoloring  # checks the options against the pictures

    def _read_masks(self) -> None:
        if self._masks is None:
            source = self.require_source()
            self._masks = ImageMasks(source, self.mask_options)
            self.styles.place(source, self.mask_options)

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
        self.require_source().require_previous_frames(offsets)

    def round_shapes(self, round_length: Callable[[int], int]) -> None:
        """Makes the heights and widths of all stages lengths in px that a function returns for them."""
        self.require_source().round_length = round_length

    def shape(self, stage: Stage) -> tuple[int, int]:
        """Returns height and width of the image in px: the proportions of the content, or else of the first style."""
        return self.require_source().shape(stage.size)

    def pictures(self, stage: Stage) -> StagePictures:
        """Prepares the pictures of a stage on the CPU, after :meth:`setup`."""
        recoloring, frame = self._recoloring, stage.frame
        recolor = partial(recoloring.recolor_start, frame=frame) if recoloring.changes_start else None
        pictures = self.require_source().pictures(stage, recolor)
        content = None if pictures.content is None else recoloring.recolor_content(pictures.content, frame)
        shape = self.shape(stage)
        return StagePictures(
            content,
            recoloring.recolor_styles(shape, frame),
            [variant.weight for variant in self.styles.variants],
            pictures.previous,
            pictures.start,
            pictures.recolored,
            style_numbers=[variant.number for variant in self.styles.variants],
            style_regions=self.styles.regions(shape),
            declared_numbers=self.styles.declared_numbers,
            shares=self.style_shares(shape, frame),
            hold=self.hold_map(shape, frame),
        )

    def style_shares(self, shape: tuple[int, int], frame: int = 0) -> Tensor | None:
        """Returns how much each style counts at each pixel of the image, with the strength map included.

        Args:
            shape: height and width of the image in px.
            frame: number of the frame, in a film.

        Returns:
            ``(1, styles, height, width)``, at most 1 in sum, or None if the styles are blended equally everywhere.
        """
        shares = [share for share in self.styles.image_weights(shape, frame) if share is not None]
        strength = self.strength_map(shape, frame)
        if not shares and (strength is None or not self.styles.sources):
            return None
        weights = torch.cat(shares, 1) if shares else torch.tensor(self.styles.blend_weights).view(1, -1, 1, 1)
        return weights if strength is None else weights * strength

    def use_styles(self, styles: StyleSet) -> None:
        """Replaces the styles during a run, such as by :meth:`StyleSet.with_weights`."""
        self.styles = styles
        # It keeps colors of the styles.
        self.__dict__.pop("_recoloring", None)

    def add_steps(self, steps: int) -> None:
        """Adds steps to the last stage."""
        *others, last = self.stages
        self.stages = [*others, replace(last, steps=last.steps + steps)]

    def has_same_styles(self, first: Stage, second: Stage) -> bool:
        """Whether the styles of two stages are the same pictures: of one size, and recolored for the same shot."""
        if first.size != second.size or not self._recoloring.changes_styles:
            return first.size == second.size
        source = self.require_source()
        return source.shot_start(first.frame) == source.shot_start(second.frame)

    @cached_property
    def _recoloring(self) -> Recoloring:
        return Recoloring(self.styles, self.palette, self.require_source())

    @property
    def changes_result(self) -> bool:
        """Whether a result differs from the image that is optimized; see :meth:`finish`."""
        return self._recoloring.changes_result or self._keeps_rest

    @property
    def _keeps_rest(self) -> bool:
        return self.mask_options.rest == "content"

    def finish(self, image: Tensor, frame: int = 0) -> Tensor:
        """Returns an image as a user sees it: with the colors that `colors` and ``palette.result`` ask for.

        Where `rest: content` keeps the content, it is the content itself.

        All frames of a shot have the map of its first frame, because maps of their own would flicker.

        Args:
            image: ``(1, 3, height, width)``; it stays as it is.
            frame: number of the frame, in a film.

        Returns:
            ``(1, 3, height, width)``; `image` itself if nothing is changed.
        """
        finished = self._recoloring.finish(image, frame)
        if not self._keeps_rest:
            return finished
        shape = (image.shape[-2], image.shape[-1])
        content = self.require_source().frame_content(frame, *shape)
        assert content is not None, "`rest: content` requires a content"
        shares = [share for share in self.styles.image_weights(shape, frame) if share is not None]
        return torch.lerp(content.to(image), finished.detach().clamp(0, 1), torch.cat(shares, 1).sum(1).to(image))

    @property
    def canvas(self) -> tuple[int, int]:
        """Original height and width in px of the picture that gives the image its proportions, after :meth:`setup`."""
        return self.require_source().height, self.require_source().width

    def alpha(self, height: int, width: int) -> Tensor | None:
        """Returns the opacity of the content, ``(1, 1, height, width)`` in [0, 1], or None if it is opaque."""
        return None if self.source is None else self.source.alpha(height, width)

    @property
    def is_masked(self) -> bool:
        """Whether a style has a mask, a region or a map, or the content or the style has another weight somewhere."""
        options = self.mask_options
        has_maps = options.hold is not None or options.style_strength is not None
        return has_maps or any(style.is_masked for style in self.styles.sources)

    def hold_map(self, shape: tuple[int, int], frame: int = 0) -> Tensor | None:
        """Returns the factor on the content terms at each pixel.

        Args:
            shape: height and width of the image in px.
            frame: number of the frame, in a film.

        Returns:
            ``(1, 1, height, width)``, from 1 to `hold_weight`, or None for 1 everywhere.
        """
        return None if self._masks is None else self._masks.hold_map(shape, frame)

    def strength_map(self, shape: tuple[int, int], frame: int = 0) -> Tensor | None:
        """Returns how strong the style is at each pixel.

        Args:
            shape: height and width of the image in px.
            frame: number of the frame, in a film.

        Returns:
            ``(1, 1, height, width)`` in [0, 1], or None for 1 everywhere.
        """
        return None if self._masks is None else self._masks.strength_map(shape, frame)

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

    def require_source(self) -> ContentSource:
        """Returns the content source, after :meth:`setup`."""
        if self.source is None:
            raise RuntimeError("Expected TransferData to be set up: call setup() first.")
        return self.source
