"""The plan of a run: which picture is painted at which size for how many steps, and in what order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from nst_lightning.errors import InputError

RATIOS = {"sqrt2": 2**0.5, "octaves": 2.0}


@dataclass(frozen=True)
class Stage:
    """One picture at one size for a number of steps; one epoch of Lightning's.

    Attributes:
        frame: which picture, from 0; a still has frame 0 alone.
        size: long edge in px.
        steps: evaluations of the objective, each with one update.
    """

    frame: int
    size: int
    steps: int


@dataclass(frozen=True)
class Position:
    """How far a run has come.

    Attributes:
        stage: number of the stage it is in, from 0.
        step: evaluations that were made in that stage.
    """

    stage: int
    step: int


def next_position(position: Position, stages: Sequence[Stage]) -> Position:
    """The same position, at the start of the next stage where its own is finished."""
    if position.stage < len(stages) and position.step >= stages[position.stage].steps:
        return Position(position.stage + 1, 0)
    return position


@dataclass
class Plan:
    """How large and how long to paint.

    Args:
        size: long edge of the result in px.
        steps: evaluations of the objective at the last size, and at every size unless `first_steps` says otherwise.
        ladder: sizes to paint at before the last one: ``none``, or down from it in steps of ``sqrt2`` or in
            ``octaves`` to `smallest`. Large pictures want it: large shapes of the style are found at small sizes.
        smallest: long edge in px below which a ladder does not go.
        first_steps: evaluations at the first size of a ladder.
        following_steps: evaluations for each frame of a film that goes on from the one before; `steps` unless given.
            Those that begin a shot are painted as a still picture is.
        iterations_per_step: evaluations, each with its update, that are one training step to Lightning, whose own work
            for a step (curves, bar, hooks) takes as long as an evaluation on a fast GPU. What is due in between
            happens at the end of it.
    """

    size: int = 512
    steps: int = 300
    ladder: Literal["none", "sqrt2", "octaves"] = "none"
    smallest: int = 128
    first_steps: int | None = None
    following_steps: int | None = None
    iterations_per_step: int = 1

    def __post_init__(self) -> None:
        for name in ("size", "steps", "smallest", "first_steps", "following_steps", "iterations_per_step"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"Expected `plan.{name}` to be positive, but got {value}.")

    def sizes(self) -> list[int]:
        """Long edges in px, ascending; the last one is ``size``."""
        if self.ladder == "none":
            return [self.size]
        sizes = [self.size]
        while (smaller := round(self.size / RATIOS[self.ladder] ** len(sizes))) >= self.smallest:
            sizes.append(smaller)
        return sizes[::-1]

    def stages(self, frame: int = 0) -> list[Stage]:
        """The stages of a picture in their order.

        Args:
            frame: its number.
        """
        sizes = self.sizes()
        stages = [Stage(frame=frame, size=size, steps=self.steps) for size in sizes]
        if self.first_steps is not None and len(stages) > 1:
            stages[0] = Stage(frame=frame, size=sizes[0], steps=self.first_steps)
        return stages

    def film(self, frames: int, cuts: Collection[int]) -> list[Stage]:
        """The stages of a film in their order.

        Args:
            frames: how many it has.
            cuts: numbers of the frames that begin a shot, 0 among them.
        """
        following = self.steps if self.following_steps is None else self.following_steps
        return [
            stage
            for frame in range(frames)
            for stage in (self.stages(frame) if frame in cuts else [Stage(frame, self.size, following)])
        ]
