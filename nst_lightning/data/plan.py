"""The plan of a run: a list of stages. A stage paints one frame at one size for a number of steps."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from nst_lightning.errors import InputError

# Shortest tile in px; smaller ones consist mostly of margin.
SMALLEST_TILE = 64

# Largest size in px and number of steps. Far larger ones overflow.
MAX_PLANNED = 10**6

# Ratio of two consecutive sizes of a ladder.
RATIOS = {"sqrt2": 2**0.5, "octaves": 2.0}


@dataclass(frozen=True)
class Stage:
    """One frame at one size for a number of steps; one epoch of Lightning.

    Attributes:
        frame: number of the frame, from 0; a still has only frame 0.
        size: long edge in px.
        steps: evaluations of the objective, each followed by one update of the image.
    """

    frame: int
    size: int
    steps: int


@dataclass(frozen=True)
class Position:
    """The progress of a run.

    Attributes:
        stage: number of the current stage, from 0.
        step: number of evaluations so far in that stage.
    """

    stage: int
    step: int


def next_position(position: Position, stages: Sequence[Stage]) -> Position:
    """Returns the position of the next evaluation.

    Args:
        position: position after an evaluation.
        stages: all stages of the plan.

    Returns:
        The start of the next stage if the current one has no steps left, else `position`.
    """
    if position.stage < len(stages) and position.step >= stages[position.stage].steps:
        return Position(position.stage + 1, 0)
    return position


@dataclass
class Plan:
    """Sizes and numbers of steps.

    Args:
        size: long edge of the result in px.
        steps: evaluations of the objective at the last size, and at every other size except for `first_steps`.
        ladder: sizes before the last one: ``none``, or smaller sizes down to `smallest` with a ratio of ``sqrt2`` or
            of 2 (``octaves``). Recommended for large pictures: small sizes form the large shapes of the style.
        smallest: long edge in px of the smallest size that a ladder may contain.
        first_steps: evaluations at the first size of a ladder; `steps` by default.
        last_steps: evaluations at the last size of a ladder, the most expensive one; `steps` by default.
        following_steps: evaluations for each frame of a film that starts from the previous frame; `steps` by default.
            The first frame of a shot is painted like a still.
        iterations_per_step: evaluations, each with one update, in one training step of Lightning. On a fast GPU,
            Lightning's own work for a step (curves, progress bar, hooks) takes as long as an evaluation. Curves,
            previews and checkpoints that are due between the evaluations follow at the end of the step.
        tolerance: ends a stage as soon as the objective fell by less than this share over the last ten steps, such as
            0.01; by default each stage makes all of its steps. With ``f_k`` the objective at evaluation ``k`` of the
            stage, from 0, a stage ends after evaluation ``k`` = 10, 20, 30, ... if
            ``f_(k-10) - f_k < tolerance |f_(k-10)|``. Each frame of a film has its own stages.
        tile: length in px of the tiles in which larger images are evaluated, with the same result and less memory;
            ``auto`` for no tiles as long as the memory suffices, else the largest ones that fit; null for no tiles.
    """

    size: int = 512
    steps: int = 300
    ladder: Literal["none", "sqrt2", "octaves"] = "none"
    smallest: int = 128
    first_steps: int | None = None
    following_steps: int | None = None
    iterations_per_step: int = 1
    tolerance: float | None = None
    tile: int | Literal["auto"] | None = "auto"
    last_steps: int | None = None

    def __post_init__(self) -> None:
        for name in (
            "size",
            "steps",
            "smallest",
            "first_steps",
            "following_steps",
            "iterations_per_step",
            "last_steps",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"Expected `plan.{name}` to be positive, but got {value}.")
            if value is not None and value > MAX_PLANNED:
                raise InputError(f"Expected `plan.{name}` to be at most {MAX_PLANNED}, but it is larger.")
        if isinstance(self.tile, str) and self.tile != "auto":
            raise InputError(f"Expected `plan.tile` to be auto, null or a length in px, but got {self.tile!r}.")
        if isinstance(self.tile, int) and self.tile < SMALLEST_TILE:
            raise InputError(f"Expected `plan.tile` to be {SMALLEST_TILE} px or more, but got {self.tile}.")
        if self.tolerance is not None and not 0 <= self.tolerance < 1:
            raise InputError(
                f"Expected `plan.tolerance` to be from 0 to below 1, or null, but got {self.tolerance}: 0.01 ends a "
                "stage whose objective fell by less than 1 % in ten steps."
            )

    def sizes(self) -> list[int]:
        """Lists the long edges in px, ascending; the last one is ``size``."""
        if self.ladder == "none":
            return [self.size]
        sizes = [self.size]
        while (smaller := round(self.size / RATIOS[self.ladder] ** len(sizes))) >= self.smallest:
            sizes.append(smaller)
        return sizes[::-1]

    def stages(self, frame: int = 0) -> list[Stage]:
        """Lists the stages of a still, or of the first frame of a shot.

        Args:
            frame: number of the frame.
        """
        sizes = self.sizes()
        stages = [Stage(frame=frame, size=size, steps=self.steps) for size in sizes]
        if self.first_steps is not None and len(stages) > 1:
            stages[0] = Stage(frame=frame, size=sizes[0], steps=self.first_steps)
        if self.last_steps is not None and len(stages) > 1:
            stages[-1] = Stage(frame=frame, size=sizes[-1], steps=self.last_steps)
        return stages

    def film_stages(self, frames: int, cuts: Collection[int]) -> list[Stage]:
        """Lists the stages of a film.

        Args:
            frames: number of frames.
            cuts: numbers of the frames that begin a shot, including 0.
        """
        following = self.steps if self.following_steps is None else self.following_steps
        return [
            stage
            for frame in range(frames)
            for stage in (self.stages(frame) if frame in cuts else [Stage(frame, self.size, following)])
        ]
