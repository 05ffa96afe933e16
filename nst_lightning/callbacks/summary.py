"""The summary of a run: its numbers in a file."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from nst_lightning.callbacks.films import FilmWriter
from nst_lightning.images.atomic import write_bytes
from nst_lightning.training.run_state import RunState

# Name of the summary in a run folder.
SUMMARY_NAME = "summary.json"

# Approximate number of points in a curve, so that the file stays small for any number of steps.
CURVE_POINTS = 200


class RunSummary(pl.Callback):
    """Writes ``summary.json`` into the run folder when the run ends, also when it ends early.

    The file holds the steps done and planned, the seconds (over all starts of a resumed run), the size of the image in
    px, the terms of the objective at the last step, their curves and, for a film, the numbers of its frames. The
    checkpoint holds the curves too, so that a resumed run has them from its first step.
    """

    # CSVLogger does not serve for the curves: it deletes `metrics.csv` when a run resumes, and the user's choice of
    # loggers would decide whether a study has curves.
    def __init__(self) -> None:
        self._curves: dict[str, list[float]] = {"step": []}
        self._seconds = 0.0
        self._starts = 0
        self._since: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """Returns the curves, the seconds and the number of starts."""
        curves = {name: list(values) for name, values in self._curves.items()}
        return {"curves": curves, "seconds": self._elapsed(), "starts": self._starts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the curves, the seconds and the number of starts."""
        self._curves = {name: list(values) for name, values in state_dict["curves"].items()}
        self._seconds, self._starts = state_dict["seconds"], state_dict["starts"]

    def on_train_start(self, *unused: Any) -> None:
        """Starts the clock."""
        self._since = time.monotonic()
        self._starts += 1

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Adds a point to the curves if one is due, and at the first and the last step."""
        run = RunState.of(trainer)
        is_first, is_last = run.step == run.module.step_evaluations, run.step == run.planned_steps
        if is_first or is_last or run.is_due(max(1, run.planned_steps // CURVE_POINTS)):
            self._curves["step"].append(run.step)
            for name, value in self.losses(trainer).items():
                self._curves.setdefault(name, []).append(value)

    def on_train_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Writes the summary."""
        self._write(trainer)

    def on_exception(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Writes the summary so far when an error or Ctrl-C ends the run."""
        # The error that ended the run says more; on a full disk it is the same one.
        with suppress(OSError):
            if self._since is not None:
                self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        folder = self.folder(trainer)
        if folder is not None:
            text = json.dumps(self.summary(trainer), indent=1)
            write_bytes(folder / SUMMARY_NAME, f"{text}\n".encode())

    def summary(self, trainer: pl.Trainer) -> dict[str, Any]:
        """Returns the content of the file."""
        run = RunState.of(trainer)
        height, width = run.image.shape[-2:]
        summary = {
            "steps": run.step,
            "planned": run.planned_steps,
            "starts": self._starts,
            "seconds": round(self._elapsed(), 2),
            "size": [width, height],
            "losses": self.losses(trainer),
            "curves": self._curves,
        }
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, FilmWriter):
                summary["film"] = callback.summarize()
        return summary

    def _elapsed(self) -> float:
        return self._seconds + (0.0 if self._since is None else time.monotonic() - self._since)

    def folder(self, trainer: pl.Trainer) -> Path | None:
        """Returns the folder of the file; a subclass may choose another one."""
        return RunState.of(trainer).folder

    def losses(self, trainer: pl.Trainer) -> dict[str, float]:
        """Returns the terms of the objective and their ``total`` at the last step, by name."""
        return {name: float(value) for name, value in RunState.of(trainer).terms.items()}
