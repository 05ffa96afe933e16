"""A film as content: its frames, and the painted frames that the next one starts from."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from nst_lightning.data.content_source import ContentPictures, ContentSource, Recolor
from nst_lightning.data.plan import Plan, Stage
from nst_lightning.errors import InputError
from nst_lightning.images.resize import resize
from nst_lightning.video.film import Film, FrameSelection
from nst_lightning.video.flow import DIS, Flow
from nst_lightning.video.frames import PaintedFrames
from nst_lightning.video.lookahead import Lookahead, Motion
from nst_lightning.video.sound import Sound
from nst_lightning.video.warp import point_inside, warp
from nst_lightning.video.writer import Timing


@dataclass(frozen=True)
class FilmOptions:
    """How a film is read and painted; see the arguments of :class:`nst_lightning.data.transfer.TransferData`.

    Attributes:
        selection: frames to paint.
        frame_rate: frames per second of a folder of frames.
        flow: optical flow along which painted frames are warped; None to warp nothing.
        blend: share of the warped previous frame in the start of a frame, from 0 to 1.
        compare: whether to write a film with content and result next to each other.
    """

    selection: FrameSelection
    frame_rate: float
    flow: Flow | None
    blend: float
    compare: bool

    def __post_init__(self) -> None:
        if not 0 <= self.blend <= 1:
            raise InputError(f"Expected `blend` to be from 0 to 1, but got {self.blend}.")
        if not 0 < self.frame_rate <= 1000:
            raise InputError(f"Expected `frame_rate` to be over 0 and at most 1000, but got {self.frame_rate}.")


class FilmContent(ContentSource):
    """A film whose frames are painted one after the other.

    Args:
        path: film file, animation, or folder of numbered frames.
        options: how to read and paint it.
        size: long edge of the painted frames in px.

    Raises:
        InputError: the file is not a film, or has none of the selected frames.
    """

    def __init__(self, path: Path, options: FilmOptions, size: int) -> None:
        self.path = path
        self.options = options
        self.film = Film(path, options.selection, options.frame_rate)
        super().__init__(self.film.info.height, self.film.info.width)
        self._frame_shape = self.shape(size)
        # The start of a frame and its flicker need the previous frame, whatever the losses require.
        self._offsets: set[int] = {1}
        self._lookahead: Lookahead | None = None
        self._scratch: TemporaryDirectory[str] | None = None
        self._frames: PaintedFrames | None = None
        # The last frame whose motion since the start of its shot is known, and that motion.
        self._shot_flow: tuple[int, Tensor] | None = None
        # Frames whose colors are measured or put back, read apart from those that the lookahead reads in its thread.
        self._color_film = self.film.clone()
        self._contents: dict[int, Tensor] = {}

    @property
    def frame_count(self) -> int:
        """See :attr:`ContentSource.frame_count`."""
        return len(self.film)

    def count_all_frames(self) -> int:
        """Counts the frames of the whole film, selected or not; the film is decoded for it."""
        return sum(1 for _ in self.film.reader.decode())

    def stages(self, plan: Plan) -> list[Stage]:
        """See :meth:`ContentSource.stages`."""
        return plan.film_stages(len(self.film), self.film.info.cuts)

    def require_previous_frames(self, offsets: Collection[int]) -> None:
        """See :meth:`ContentSource.require_previous_frames`."""
        self._offsets = {1, *offsets}
        if self.options.flow is not None:
            pairs = self._prepare().pairs(range(len(self.film)))
            self.options.flow.check(pairs, *self._frame_shape)

    def pictures(self, stage: Stage, recolor: Recolor | None = None) -> ContentPictures:
        """See :meth:`ContentSource.pictures`."""
        frame = self._prepare().get(stage.frame)
        content = resize(frame.content, *self.shape(stage.size))
        previous = {
            offset: (warp(self.frames.read(stage.frame - offset), motion.flow).clamp(0, 1), motion.mask)
            for offset, motion in frame.motions.items()
        }
        recolored = None if recolor is None else recolor(content)
        start = self._blend_start(content if recolored is None else recolored, previous) if previous else None
        return ContentPictures(content, previous, start, recolored)

    def frame_content(self, frame: int, height: int, width: int) -> Tensor:
        """See :meth:`ContentSource.frame_content`; the latest frame and the first one of its shot stay in memory."""
        if frame not in self._contents:
            first = self.film.shot_start(frame)
            self._contents = {number: content for number, content in self._contents.items() if number == first}
            self._contents[frame] = self._color_film.frame(frame, *self._frame_shape)
        return resize(self._contents[frame], height, width)

    def shot_start(self, frame: int) -> int:
        """See :meth:`ContentSource.shot_start`."""
        return self.film.shot_start(frame)

    def shot_image(self, frame: int, image: Tensor) -> Tensor:
        """See :meth:`ContentSource.shot_image`; the first frame is read from its file."""
        first = self.film.shot_start(frame)
        return image if frame == first else self.frames.read(first)

    def shot_flow(self, frame: int) -> Tensor | None:
        """See :meth:`ContentSource.shot_flow`; the motions from frame to frame are joined.

        A run that resumes within a shot computes them again from the start of the shot, and so has the same bits.
        """
        first = self.film.shot_start(frame)
        if frame == first:
            return None
        known = self._shot_flow if self._shot_flow is not None and first < self._shot_flow[0] <= frame else None
        for number in range(first + 1 if known is None else known[0] + 1, frame + 1):
            # What enters the picture belongs to its edge; a mirrored mask would enter from there too.
            step = point_inside(self._prepare().get(number).motions[1].flow)
            known = number, step if known is None else step + warp(known[1], step, "linear")
        assert known is not None
        self._shot_flow = known
        return known[1]

    def _blend_start(self, content: Tensor, previous: Mapping[int, tuple[Tensor, Tensor]]) -> Tensor:
        """Blends the warped previous frame with the content.

        Where the flow is unreliable, half of the warped frame is blended in: from the content alone, new regions would
        stay photographic for long; from the warped frame alone, they would be streaks.
        """
        warped, mask = previous[1]
        return content + self.options.blend * (1 + mask) / 2 * (warped - content)

    def motion(self, frame: int) -> Motion | None:
        """Returns the motion from the previous frame that flicker is measured along; None at the start of a shot."""
        return self._prepare().measured_motion(frame)

    @property
    def frames(self) -> PaintedFrames:
        """The painted frames: in a temporary folder, unless :meth:`keep_frames` names another one."""
        if self._frames is None:
            self._scratch = TemporaryDirectory(prefix="nst_lightning")
            self._frames = PaintedFrames(Path(self._scratch.name))
        return self._frames

    def keep_frames(self, folder: Path) -> None:
        """Keeps the painted frames in a folder, which may already contain frames of a resumed run."""
        self._frames = PaintedFrames(folder)

    def content_frames(self, stage: Stage) -> Iterator[Tensor]:
        """Yields the frames of the film at the size of a stage, ``(1, 3, height, width)`` in [0, 1] each."""
        return self.film.frames(*self.shape(stage.size))

    def timing(self, count: int) -> Timing:
        """Returns when each of the first ``count`` frames is shown, relative to the first one."""
        start = self.film.info.times[0]
        return Timing([time - start for time in self.film.info.times[:count]], self._end(count) - start)

    def sound(self, count: int) -> Sound | None:
        """Returns the sound of the first ``count`` frames, or None if the film is silent."""
        path = self.film.reader.sound
        return None if path is None else Sound(path, self.film.info.times[0], self._end(count))

    @property
    def problem(self) -> str | None:
        """Why the film ends early, or None if the file is complete."""
        return self.film.info.problem

    def close(self) -> None:
        """Closes the film and deletes frames in the temporary folder."""
        if self._lookahead is not None:
            self._lookahead.close()
            self._lookahead = None
        self._color_film.close()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = self._frames = None

    def _end(self, count: int) -> Fraction:
        """Returns when the last of the first ``count`` frames stops being shown, in seconds of the film."""
        info = self.film.info
        return info.times[count] if count < len(info.times) else info.end

    def _prepare(self) -> Lookahead:
        """Returns the lookahead, which is created on first use and replaced if more offsets are required."""
        if self._lookahead is not None and not self._offsets <= set(self._lookahead.offsets):
            self._lookahead.close()
            self._lookahead = None
        if self._lookahead is None:
            flow, shape = self.options.flow, self._frame_shape
            # Flicker is measured along optical flow even if frames are not warped.
            measure_flow = DIS() if flow is None and min(shape) >= DIS.smallest else None
            self._lookahead = Lookahead(self.film, flow, *shape, sorted(self._offsets), measure_flow)
        return self._lookahead
