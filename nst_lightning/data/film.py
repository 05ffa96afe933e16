"""What is painted where the content may be a film: its frames, each of which goes on from the one before."""

from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from nst_lightning.data.plan import Plan, Stage
from nst_lightning.data.transfer import DEFAULT_PLAN, StagePictures, TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.resize import fit_long_edge, resize
from nst_lightning.samples import locate
from nst_lightning.video.film import Film, Selection, is_film
from nst_lightning.video.flow import DIS, Flow, resolve_flow
from nst_lightning.video.frames import Frames
from nst_lightning.video.lookahead import Lookahead, Motion
from nst_lightning.video.sound import Sound
from nst_lightning.video.warp import warp
from nst_lightning.video.writer import Timing


class FilmData(TransferData):
    """The pictures to paint from and the plan to paint by.

    The content may be a film: mp4, mov, mkv, webm, avi, an animated gif or webp, a folder of numbered frames, or
    `sample:clip`. Then its frames are painted one after the other, and the arguments from `first` on have a meaning.

    Args:
        content: image file, film, or `sample:NAME`, whose shapes are kept; none for texture synthesis.
        style: image file, or `sample:NAME`, or a list of them, whose look is taken; none for content reconstruction.
            The looks of several styles are blended.
        style_weights: how much each of several styles counts, in their order; only their ratio matters. Equal unless
            given.
        plan: how large and how long to paint.
        first: of a film, number of the first frame to paint, from 0.
        last: of a film, number of the last frame to paint; to the end unless given.
        stride: of a film, every how many-th frame to paint.
        frame_rate: frames a second of a folder of frames; other films know theirs.
        flow: how the motion in a film is found: `dis` (OpenCV's, quick), `raft` (torchvision's, slower, its weights are
            downloaded once), `none` (everything is taken to stay where it is), or the path of .flo files with {frame}
            and {to} in it for the numbers of painted frames, such as `flow/{frame}_{to}.flo`.
        blend: what a frame of a film starts from: 0 is its own content, 1 the frame before it, moved along the flow;
            where the flow cannot be relied on half as much of it.
        compare: whether a film of content and result side by side is written as well.
        style_scale: size of the styles over that of the image. Larger ones give larger strokes.
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
        super().__init__(content, style, style_weights, plan, style_scale)
        if not 0 <= blend <= 1:
            raise InputError(f"Expected `blend` to be from 0 to 1, but got {blend}.")
        if not 0 < frame_rate <= 1000:
            raise InputError(f"Expected `frame_rate` to be over 0 and at most 1000, but got {frame_rate}.")
        self.plan = plan
        self.selection = Selection(first, last, stride)
        self.frame_rate = frame_rate
        self.flow = resolve_flow(flow)
        self.blend = blend
        self.compare = compare
        self.film: Film | None = None
        self._scratch: TemporaryDirectory[str] | None = None
        self._frames: Frames | None = None
        self._lookahead: Lookahead | None = None
        self._offsets: Collection[int] = ()
        self._styles: tuple[int, list[Tensor]] | None = None

    def setup(self, stage: str) -> None:
        """Reads the pictures, and a film once through to know its frames.

        Raises:
            InputError: neither content nor style is given, or a file is none that can be read.
        """
        path = None if self.content_file is None else locate(self.content_file)
        if path is None or not is_film(path):
            super().setup(stage)
        elif self.film is None:
            self._read_styles()
            self.film = Film(path, self.selection, self.frame_rate)
            self.stages = self.plan.film(len(self.film), self.film.contents.cuts)

    def teardown(self, stage: str) -> None:
        """Lets the film go, and frames that no folder was given for."""
        if self._lookahead is not None:
            self._lookahead.close()
            self._lookahead = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = self._frames = None

    def shape(self, stage: Stage) -> tuple[int, int]:
        """Height and width of the image in px."""
        if self.film is None:
            return super().shape(stage)
        return fit_long_edge(self.film.contents.height, self.film.contents.width, stage.size)

    def set_previous_frames(self, offsets: Collection[int]) -> None:
        """See :meth:`TransferData.look_back`; looks whether the flows can be had."""
        if self.film is None:
            return
        self._offsets = {1, *offsets}
        if self.flow is not None:
            pairs = self._ahead().pairs(range(len(self.film)))
            self.flow.check(pairs, *self.shape(self.stages[-1]))

    def pictures(self, stage: Stage) -> StagePictures:
        """The pictures at the size of a stage, on the CPU; after :meth:`setup`."""
        if self.film is None:
            return super().pictures(stage)
        ready = self._ahead().get(stage.frame)
        content = resize(ready.content, *self.shape(stage))
        before = {offset: self._moved(stage.frame - offset, motion) for offset, motion in ready.motions.items()}
        return StagePictures(
            content,
            self._styles_at(stage),
            self.blend_weights,
            before,
            self._start(content, before) if before else None,
        )

    def motion(self, frame: int) -> Motion | None:
        """How a frame follows from the one before: what its flicker is measured by. None at the start of a shot."""
        return self._ahead().gauged(frame)

    @property
    def frames(self) -> Frames:
        """The painted frames: in a folder that is gone with the run, unless :meth:`keep_frames` gave another one."""
        if self._frames is None:
            self._scratch = TemporaryDirectory(prefix="nst_lightning")
            self._frames = Frames(Path(self._scratch.name))
        return self._frames

    def keep_frames(self, folder: Path) -> None:
        """Says where the painted frames are."""
        self._frames = Frames(folder)

    def timing(self, count: int) -> Timing:
        """When the first so many frames are shown, from the first one's time on."""
        contents = self._film().contents
        start = contents.times[0]
        return Timing([time - start for time in contents.times[:count]], self._end(count) - start)

    def sound(self, count: int) -> Sound | None:
        """What is heard with the first so many frames, or None."""
        film = self._film()
        path = film.source.sound
        return None if path is None else Sound(path, film.contents.times[0], self._end(count))

    def contents(self, stage: Stage) -> Iterator[Tensor]:
        """The film itself at the size of a stage, frame by frame."""
        return self._film().frames(*self.shape(stage))

    @property
    def problem(self) -> str | None:
        """What is wrong with the end of the film, or None."""
        return None if self.film is None else self.film.contents.problem

    def _film(self) -> Film:
        assert self.film is not None
        return self.film

    def _end(self, count: int) -> Fraction:
        contents = self._film().contents
        return contents.times[count] if count < len(contents.times) else contents.end

    def _ahead(self) -> Lookahead:
        if self._lookahead is None or not set(self._lookahead.offsets) >= set(self._offsets):
            shape = self.shape(self.stages[-1])
            gauge = DIS() if self.flow is None and min(shape) >= DIS.smallest else None
            self._lookahead = Lookahead(self._film(), self.flow, *shape, sorted({1, *self._offsets}), gauge)
        return self._lookahead

    def _moved(self, number: int, motion: Motion) -> tuple[Tensor, Tensor]:
        """A painted frame, moved to where things are in a later one, and how far that can be relied on."""
        return warp(self.frames.read(number), motion.flow).clamp(0, 1), motion.mask

    def _start(self, content: Tensor, before: dict[int, tuple[Tensor, Tensor]]) -> Tensor:
        """The frame before, moved; where that cannot be relied on half of it, for its paint, and half of the content.

        From the content alone, what is new would stay a photograph for long; from the paint alone, it would be streaks.
        """
        moved, mask = before[1]
        return content + self.blend * (1 + mask) / 2 * (moved - content)

    def _styles_at(self, stage: Stage) -> list[Tensor]:
        if self._styles is None or self._styles[0] != stage.size:
            self._styles = stage.size, self.styles_at(stage.size)
        return self._styles[1]
