"""What a run shows of itself while it paints: a small picture, its progress and its settings."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from nst_lightning.images.io import to_pil
from nst_lightning.images.resize import fit_long_edge, resize
from nst_lightning.training.private_api import stage_number
from nst_lightning.training.run_state import RunState

# Longest edge in px of the picture.
LIVE_SIZE = 768

# Least seconds between two pictures.
LIVE_SECONDS = 0.5


class Throttle:
    """Limits how often something is done: at most twice a second, and for at most a share of the time.

    Args:
        share: share of the time, from 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._next = 0.0

    def is_due(self) -> bool:
        """Whether enough time has passed."""
        return time.monotonic() >= self._next

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measures the block and postpones the next one in proportion."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._next = start + max(LIVE_SECONDS, (time.monotonic() - start) / self.share)


def wait_for_device(run: RunState) -> None:
    """Waits until a GPU has finished the last step, so that this time does not count as that of a preview."""
    if run.image.device.type != "cpu":
        run.image[0, 0, 0, 0].item()


def shrink_result(run: RunState) -> Image.Image:
    """Returns the result so far with a long edge of at most :data:`LIVE_SIZE` px."""
    # The colors of a result are matched at the size of the image.
    image = run.result if run.data.changes_result else run.image
    height, width = image.shape[-2:]
    size = fit_long_edge(height, width, min(LIVE_SIZE, max(height, width)))
    return to_pil(resize(image.float(), *size).cpu())


class StageClock:
    """Measures the seconds per step of a stage and estimates how long the run still takes."""

    def __init__(self) -> None:
        self._since, self._first_step = time.monotonic(), 0

    def start_stage(self, made: int) -> None:
        """Starts measuring.

        Args:
            made: steps that were made in the stage before; 0 unless the run resumes in it.
        """
        self._since, self._first_step = time.monotonic(), made

    def remaining(self, run: RunState) -> float | None:
        """Returns the seconds of the steps that are left, each in proportion to its pixels; None if not known yet."""
        module, number = run.module, stage_number(run.trainer.fit_loop)
        current, *later = run.data.stages[number:]
        measured = module.stage_step - self._first_step
        if measured < 1:
            return None
        left = 0 if module.has_converged else current.steps - module.stage_step
        scaled = sum(stage.steps * (stage.size / current.size) ** 2 for stage in later)
        return (time.monotonic() - self._since) / measured * (left + scaled)


def describe_run(run: RunState, state: str, seconds: float, remaining: float | None) -> dict[str, Any]:
    """Returns the content of ``live.json``.

    Args:
        run: the run.
        state: ``painting``, ``finished`` or ``stopped``.
        seconds: since the first step of this process.
        remaining: estimate of the seconds that are left.
    """
    # Not `run.stage`, which is the next one after the last step.
    stages, number = run.data.stages, stage_number(run.trainer.fit_loop)
    stage = stages[number]
    height, width = run.image.shape[-2:]
    terms = {name: _finite(float(value)) for name, value in run.terms.items()}
    return {
        "state": state,
        "pid": os.getpid(),
        "updated": time.time(),
        "stage": number + 1,
        "stages": len(stages),
        "frame": stage.frame,
        "frames": stages[-1].frame + 1,
        "step": run.step,
        "steps": run.planned_steps,
        "stage_step": run.module.stage_step,
        "stage_steps": stage.steps,
        "width": width,
        "height": height,
        "seconds": seconds,
        "remaining_seconds": remaining,
        "terms": {name: value for name, value in terms.items() if name != "total"},
        "objective": terms.get("total"),
        **describe_settings(run),
    }


def describe_settings(run: RunState) -> dict[str, Any]:
    """Returns the settings of a run that can be changed."""
    return {
        "weights": {name: loss.given_weight for name, loss in run.module.objective.named_losses.items()},
        "strength": run.module.strength,
        "style_weights": run.data.styles.declared_weights,
    }


def _finite(value: float) -> float | None:
    """Returns a number, or None for NaN and infinity, which JSON does not have."""
    return value if math.isfinite(value) else None
