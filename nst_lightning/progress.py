"""Where a run is, and how a checkpoint says so.

Lightning restores its loops from their counters and guesses from them at which point of the loop the run had been
stopped. We write down the position in our own words and, on loading, set the counters to what Lightning's guess reads
as exactly that position. So a run goes on right wherever it was cut, and also where its plan was made longer meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.progress import _ProcessedTracker

from nst_lightning.plan import Stage


@dataclass(frozen=True)
class Position:
    """How far a run has come.

    Attributes:
        stage: number of the stage it is in, from 0.
        step: steps that were made in that stage.
    """

    stage: int
    step: int


def position(loop: _FitLoop) -> Position:
    """The position of a run that is between two steps."""
    epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
    assert isinstance(epochs, _ProcessedTracker)
    assert isinstance(batches, _ProcessedTracker)
    return Position(epochs.started - 1, batches.processed) if epochs.started else Position(0, 0)


def advanced(position: Position, stages: Sequence[Stage]) -> Position:
    """The same position, at the start of the next stage where its own is finished."""
    if position.stage < len(stages) and position.step >= stages[position.stage].steps:
        return Position(position.stage + 1, 0)
    return position


def set_loops(loops: dict[str, Any], position: Position) -> None:
    """Sets the counters of a checkpoint's loops.

    Args:
        loops: the checkpoint's ``loops["fit_loop"]``, changed in place.
        position: between two steps, or at the start of a stage, as :func:`advanced` gives it.
    """
    steps_in_all = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"]
    inside = position.step > 0
    # A step that is processed but not completed, within an epoch that is started but not processed, is what Lightning
    # itself saves at the end of a step: it completes that step and goes on with the next.
    epochs = _counters(position.stage + inside, position.stage + inside, position.stage, position.stage)
    batches = _counters(position.step, position.step, position.step, position.step - inside)
    all_batches = _counters(steps_in_all, steps_in_all, steps_in_all, steps_in_all - inside)
    loops["epoch_progress"] = {"total": dict(epochs), "current": dict(epochs)}
    loops["epoch_loop.batch_progress"] |= {"total": all_batches, "current": batches, "is_last_batch": False}
    loops["epoch_loop.state_dict"]["_batches_that_stepped"] = steps_in_all - inside


def _counters(ready: int, started: int, processed: int, completed: int) -> dict[str, int]:
    return {"ready": ready, "started": started, "processed": processed, "completed": completed}
