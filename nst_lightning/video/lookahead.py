"""The next frame of a film and its optical flow, made ready while the one before is painted."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from nst_lightning.video.film import Film
from nst_lightning.video.flow import Flow
from nst_lightning.video.occlusion import reliability


@dataclass(frozen=True)
class Motion:
    """How a frame follows from one before it.

    Attributes:
        flow: ``(1, 2, height, width)`` in px, from each pixel to where it was.
        mask: ``(1, 1, height, width)``: how far it can be relied on, from 0 to 1.
    """

    flow: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Ready:
    """A frame that can be painted.

    Attributes:
        content: ``(1, 3, height, width)`` in [0, 1].
        motions: from frames before it in the same shot, by how many frames before.
        gauged: the motion by which its flicker is measured, or None.
    """

    content: Tensor
    motions: dict[int, Motion]
    gauged: Motion | None


class Lookahead:
    """Makes frames ready in a thread of its own: while one is painted, the next one.

    Args:
        film: that is painted; nobody else may use it meanwhile.
        flow: finds how things move; None where they are taken to stay where they are.
        height: of the frames in px.
        width: likewise.
        offsets: how many frames before those are that are compared with, 1 among them.
        gauge: finds how things move for those who measure, where ``flow`` does not.
    """

    def __init__(
        self,
        film: Film,
        flow: Flow | None,
        height: int,
        width: int,
        offsets: Sequence[int] = (1,),
        gauge: Flow | None = None,
    ) -> None:
        self.film = film
        self.flow = flow
        self.shape = height, width
        self.offsets = sorted(offsets)
        self.gauge = gauge
        self._contents: dict[int, Tensor] = {}
        self._futures: dict[int, Future[Ready]] = {}
        self._thread = ThreadPoolExecutor(1, "film")

    def get(self, number: int) -> Ready:
        """A frame that is ready, waiting for it where it is not; the next one is begun."""
        self._futures = {n: future for n, future in self._futures.items() if n >= number}
        self._begin(number)
        if number + 1 < len(self.film):
            self._begin(number + 1)
        return self._futures[number].result()

    def gauged(self, number: int) -> Motion | None:
        """The motion by which a frame's flicker is measured; None at the start of a shot."""
        return self._futures[number].result().gauged if number in self._futures else self.get(number).gauged

    def pairs(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """The pairs of frames between which these frames need flows."""
        back = [(number, before) for number in numbers for before in self._before(number).values()]
        return [pair for there in back for pair in (there, there[::-1])]

    def close(self) -> None:
        """Lets thread and film go."""
        self._thread.shutdown(cancel_futures=True)
        self.film.close()

    def _begin(self, number: int) -> None:
        if number not in self._futures:
            self._futures[number] = self._thread.submit(self._make, number)

    def _before(self, number: int) -> dict[int, int]:
        """Numbers of the frames that a frame is compared with, by offset."""
        start = self.film.shot(number)
        return {offset: number - offset for offset in self.offsets if number - offset >= start}

    @torch.no_grad()
    def _make(self, number: int) -> Ready:
        before = self._before(number)
        self._keep(min([number, *before.values()]), number)
        motions = {offset: self._motion(number, n, self.flow) for offset, n in before.items()}
        gauged = motions.get(1)
        if gauged is not None and self.flow is None:
            gauged = None if self.gauge is None else self._motion(number, before[1], self.gauge)
        return Ready(self._contents[number], motions, gauged)

    def _keep(self, first: int, last: int) -> None:
        """Keeps the contents of these frames and of no others."""
        self._contents = {number: self._contents[number] for number in self._contents if number >= first}
        for number in range(first, last + 1):
            if number not in self._contents:
                self._contents[number] = self.film.frame(number, *self.shape)

    def _motion(self, number: int, before: int, flow: Flow | None) -> Motion:
        if flow is None:
            return Motion(torch.zeros(1, 2, *self.shape), torch.ones(1, 1, *self.shape))
        now, then = self._contents[number], self._contents[before]
        backward = flow.between(now, then, (number, before))
        forward = flow.between(then, now, (before, number))
        return Motion(backward, reliability(backward, forward))
