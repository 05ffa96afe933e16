"""Preparation of the next frame and its optical flow in a thread, while the current frame is painted."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from nst_lightning.video.film import Film
from nst_lightning.video.flow import Flow
from nst_lightning.video.occlusion import estimate_reliability


@dataclass(frozen=True)
class Motion:
    """The motion from an earlier frame to a frame.

    Attributes:
        flow: ``(1, 2, height, width)`` in px, from each pixel of the frame to its place in the earlier frame.
        mask: reliability of the flow, ``(1, 1, height, width)`` in [0, 1].
    """

    flow: Tensor
    mask: Tensor


@dataclass(frozen=True)
class PreparedFrame:
    """A frame that is ready to be painted.

    Attributes:
        content: ``(1, 3, height, width)`` in [0, 1].
        motions: motions from earlier frames of the same shot, by their distance in frames.
        measured_motion: motion from the previous frame that flicker is measured along, or None.
    """

    content: Tensor
    motions: dict[int, Motion]
    measured_motion: Motion | None


class Lookahead:
    """Prepares frames in a thread: the next one while the current one is painted.

    Args:
        film: film to prepare; nothing else may read it at the same time.
        flow: method that finds motion; None if nothing is assumed to move.
        height: height of the frames in px.
        width: width of the frames in px.
        offsets: distances to the earlier frames that a frame is compared with, including 1.
        measure_flow: method that finds the motion for the measurement of flicker, if `flow` is None.
    """

    def __init__(
        self,
        film: Film,
        flow: Flow | None,
        height: int,
        width: int,
        offsets: Sequence[int] = (1,),
        measure_flow: Flow | None = None,
    ) -> None:
        self.film = film
        self.flow = flow
        self.shape = height, width
        self.offsets = sorted(offsets)
        self.measure_flow = measure_flow
        self._contents: dict[int, Tensor] = {}
        self._futures: dict[int, Future[PreparedFrame]] = {}
        self._thread = ThreadPoolExecutor(1, "film")

    def get(self, number: int) -> PreparedFrame:
        """Waits for a frame and starts the preparation of the next one."""
        # Frames are painted in order, so earlier ones are not needed again.
        self._futures = {n: future for n, future in self._futures.items() if n >= number}
        # A second access to the same frame, for its flicker, must not prepare it again.
        for n in range(number, min(number + 2, len(self.film))):
            if n not in self._futures:
                self._futures[n] = self._thread.submit(self._prepare, n)
        return self._futures[number].result()

    def measured_motion(self, number: int) -> Motion | None:
        """Returns the motion that the flicker of a frame is measured along; None at the start of a shot."""
        frame = self._futures[number].result() if number in self._futures else self.get(number)
        return frame.measured_motion

    def pairs(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """Lists the pairs of frames between which flow is needed, in both directions.

        Args:
            numbers: numbers of the frames to prepare.
        """
        backward = [(number, earlier) for number in numbers for earlier in self._earlier_frames(number).values()]
        return [pair for number, earlier in backward for pair in ((number, earlier), (earlier, number))]

    def close(self) -> None:
        """Stops the thread and closes the film."""
        self._thread.shutdown(cancel_futures=True)
        self.film.close()

    def _earlier_frames(self, number: int) -> dict[int, int]:
        """Returns the numbers of the earlier frames in the same shot that a frame is compared with, by offset."""
        start = self.film.shot_start(number)
        return {offset: number - offset for offset in self.offsets if number - offset >= start}

    @torch.no_grad()
    def _prepare(self, number: int) -> PreparedFrame:
        earlier = self._earlier_frames(number)
        self._load_contents(min([number, *earlier.values()]), number)
        motions = {offset: self._find_motion(number, n, self.flow) for offset, n in earlier.items()}
        measured_motion = motions.get(1)
        if measured_motion is not None and self.flow is None:
            flow = self.measure_flow
            measured_motion = None if flow is None else self._find_motion(number, earlier[1], flow)
        return PreparedFrame(self._contents[number], motions, measured_motion)

    def _load_contents(self, first: int, last: int) -> None:
        """Loads these frames and drops earlier ones."""
        self._contents = {number: self._contents[number] for number in self._contents if number >= first}
        for number in range(first, last + 1):
            if number not in self._contents:
                self._contents[number] = self.film.frame(number, *self.shape)

    def _find_motion(self, number: int, earlier: int, flow: Flow | None) -> Motion:
        if flow is None:
            return Motion(torch.zeros(1, 2, *self.shape), torch.ones(1, 1, *self.shape))
        image, earlier_image = self._contents[number], self._contents[earlier]
        backward = flow.estimate(image, earlier_image, (number, earlier))
        forward = flow.estimate(earlier_image, image, (earlier, number))
        return Motion(backward, estimate_reliability(backward, forward))
