"""When a stage ends before its last planned step: its objective has almost stopped falling."""

from collections.abc import Sequence

from torch import Tensor

# Evaluations between two compared objectives. Reading one waits for a GPU, which this interval makes rare.
INTERVAL = 10


def has_flattened(earlier: float, later: float, tolerance: float) -> bool:
    """Whether the objective fell by less than a share of its value: ``f - g < tolerance |f|``.

    NaN has not flattened: the run ends with an error of its own.

    Args:
        earlier: objective ``f``, :data:`INTERVAL` evaluations before the later one.
        later: objective ``g``.
        tolerance: the share, from 0 to below 1.
    """
    return earlier - later < tolerance * abs(earlier)


class StageObjectives:
    """The last two objectives of a stage that are :data:`INTERVAL` evaluations apart.

    They are those of the evaluations 0, 10, 20, ... of the stage. A checkpoint holds both, so that a resumed run
    decides from the same numbers.

    Args:
        values: what :meth:`values` returned.
    """

    def __init__(self, values: Sequence[float] = ()) -> None:
        self._values: list[Tensor | float] = list(values)

    def record(self, evaluation: int, objective: Tensor) -> None:
        """Keeps an objective on its device if it is one of those that are compared.

        Args:
            evaluation: number of the evaluation in its stage, from 0.
            objective: its result, a scalar.
        """
        if evaluation % INTERVAL == 0:
            # A CUDA graph overwrites its results at the next evaluation.
            self._values = [*self._values[-1:], objective.detach().clone()]

    def has_converged(self, steps: int, tolerance: float | None) -> bool:
        """Whether the stage ends now: always False except after 11, 21, 31, ... steps.

        Args:
            steps: steps of the stage so far.
            tolerance: see :class:`nst_lightning.Plan`; None never ends a stage.
        """
        is_checked = steps > INTERVAL and (steps - 1) % INTERVAL == 0
        # The checkpoint of an older version holds no objectives.
        if tolerance is None or not is_checked or len(self._values) < 2:
            return False
        earlier, later = self.values()
        return has_flattened(earlier, later, tolerance)

    def values(self) -> list[float]:
        """Returns the kept objectives, at most two; the numbers are float64."""
        return [float(value) for value in self._values]
