"""A callback that changes a run from within, at given steps."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml

from nst_lightning.training.run_state import RunState
from nst_lightning.training.steering import CONTROL_NAME, Steering, write_control


class ControlWriter(pl.Callback):
    """Writes ``control.json`` at given steps, as the command ``steer`` does.

    Args:
        changes: changes with their steps, as in ``steering.yaml``.
        raw: by step, the text of a file that no command would write.
    """

    def __init__(self, changes: list[dict[str, Any]] | None = None, raw: dict[int, str] | None = None) -> None:
        self.changes = changes or []
        self.raw = raw or {}

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        run = RunState.of(trainer)
        assert run.folder is not None
        for entry in self.changes:
            if entry["step"] == run.step:
                rest = {name: value for name, value in entry.items() if name != "step"}
                write_control(run.folder, Steering.parse(rest))
        if run.step in self.raw:
            (run.folder / CONTROL_NAME).write_bytes(self.raw[run.step].encode("latin-1"))


def steer_option(changes: list[dict[str, Any]], raw: dict[int, str] | None = None) -> str:
    """Returns the option of `fit` that adds a :class:`ControlWriter`."""
    name = f"{ControlWriter.__module__}.{ControlWriter.__qualname__}"
    callbacks = [{"class_path": name, "init_args": {"changes": changes, "raw": raw or {}}}]
    return f"--trainer.callbacks={yaml.safe_dump(callbacks, default_flow_style=True, width=10**6).strip()}"


def read_recorded(folder: Path) -> Any:
    """Returns the content of ``steering.yaml`` in a run folder."""
    return yaml.safe_load((folder / "steering.yaml").read_text())
