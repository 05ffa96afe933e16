"""What a run came to, as numbers in a file."""

import json
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from nst_lightning.callbacks.films import FilmWriter
from nst_lightning.callbacks.run_folder import run_folder, steps_planned
from nst_lightning.images.atomic import write_bytes

SUMMARY = "summary.json"
"""Name of the summary in a run folder."""

POINTS = 200
"""About as many points does a curve have."""


class RunSummary(pl.Callback):
    """Writes ``summary.json`` into the run folder when the run ends, also when it ends early.

    It has the steps made and planned, the seconds they took (over all starts of a run that was resumed), the size of
    the picture in px, the terms of the objective at the last step, and their curves. The curves are in the checkpoint,
    so that those of a resumed run are whole. Of a film it has the frames in numbers as well.
    """

    def __init__(self) -> None:
        self._curves: dict[str, list[float]] = {"step": []}
        self._seconds = 0.0
        self._starts = 0
        self._since: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """Curves and clock."""
        curves = {name: list(values) for name, values in self._curves.items()}
        return {"curves": curves, "seconds": self._elapsed(), "starts": self._starts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the curves and the clock of the checkpoint."""
        self._curves = {name: list(values) for name, values in state_dict["curves"].items()}
        self._seconds, self._starts = state_dict["seconds"], state_dict["starts"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._since = time.monotonic()
        self._starts += 1

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Takes a point of the curves when it is due."""
        planned = steps_planned(trainer)
        first = trainer.global_step == pl_module.step_evaluations
        if first or trainer.global_step == planned or pl_module.is_due(max(1, planned // POINTS)):  # type: ignore[operator]
            self._take(trainer)

    def _take(self, trainer: pl.Trainer) -> None:
        self._curves["step"].append(trainer.global_step)
        for name, value in self.losses(trainer).items():
            self._curves.setdefault(name, []).append(value)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the summary."""
        self._write(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Writes what was reached."""
        if self._since is not None:
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        folder = self.folder(trainer)
        if folder is not None:
            text = json.dumps(self.summary(trainer), indent=1)
            write_bytes(folder / SUMMARY, f"{text}\n".encode())

    def summary(self, trainer: pl.Trainer) -> dict[str, Any]:
        """What is written."""
        image: Tensor = trainer.lightning_module.image  # type: ignore[assignment]
        height, width = image.shape[-2:]
        return {
            "steps": trainer.global_step,
            "planned": steps_planned(trainer),
            "starts": self._starts,
            "seconds": round(self._elapsed(), 2),
            "size": [width, height],
            "losses": self.losses(trainer),
            "curves": self._curves,
        } | _film(trainer)

    def _elapsed(self) -> float:
        return self._seconds + (0.0 if self._since is None else time.monotonic() - self._since)

    def folder(self, trainer: pl.Trainer) -> Path | None:
        """Where the summary is written."""
        return run_folder(trainer)

    def losses(self, trainer: pl.Trainer) -> dict[str, float]:
        """The terms of the objective and their ``total`` at the step just made, by name."""
        terms: dict[str, Tensor] = trainer.lightning_module.terms  # type: ignore[assignment]
        return {name: float(value) for name, value in terms.items()}


def _film(trainer: pl.Trainer) -> dict[str, Any]:
    """The film in numbers, where it is one."""
    writers = [callback for callback in trainer.callbacks if isinstance(callback, FilmWriter)]  # type: ignore[attr-defined]
    return {"film": writers[0].summarize()} if writers else {}
