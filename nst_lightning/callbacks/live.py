"""Shows a run while it paints, and changes it between two steps."""

import io
import json
import os
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from nst_lightning.callbacks.live_status import (
    StageClock,
    Throttle,
    describe_run,
    shrink_result,
    wait_for_device,
)
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.training.run_state import RunState
from nst_lightning.training.steering import (
    CONTROL_NAME,
    LIVE_NAME,
    STEERING_NAME,
    Steering,
    SteeringStep,
    read_steering,
    take_control,
    write_steering,
)

# Name of the picture in a run folder.
PREVIEW_NAME = "preview.webp"

# Shares of the time that writing the picture and the status take at most.
PREVIEW_SHARE = 0.005
STATUS_SHARE = 0.001


class LiveSteering(pl.Callback):
    """Writes ``preview.webp`` and ``live.json`` into the run folder, and applies the changes in ``control.json``.

    A change is applied at the end of a training step, before a checkpoint of this step is written, and recorded in
    ``steering.yaml``. A checkpoint holds all changes so far, so that a resumed run continues with them. Without a run
    folder nothing is written or read.

    Args:
        replay: changes of an earlier run, which are applied after the same numbers of steps.
    """

    def __init__(self, replay: Iterable[SteeringStep] = ()) -> None:
        self._replay = list(replay)
        self._planned = list(self._replay)
        self._changes: list[SteeringStep] = []
        # Changes of a killed process, which are made again.
        self._found: list[SteeringStep] = []
        self._folder: Path | None = None
        self._control = ""
        self._error: str | None = None
        self._last_status: dict[str, Any] = {}
        self._start = time.monotonic()
        self._clock = StageClock()
        self._preview_throttle, self._status_throttle = Throttle(PREVIEW_SHARE), Throttle(STATUS_SHARE)

    def check(self, terms: Collection[str], styles: int) -> None:
        """Checks the changes to replay.

        Args:
            terms: names of the terms of the run.
            styles: number of its styles.

        Raises:
            InputError: a change does not fit the run.
        """
        for entry in self._replay:
            try:
                entry.change.check(terms, styles)
            except InputError as error:
                raise InputError(f"In the changes to replay, after step {entry.step}: {error}") from error

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Returns the changes so far, and those of a replay that follow."""
        return {
            "changes": [entry.to_dict() for entry in self._changes],
            "planned": [entry.to_dict() for entry in self._planned],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the changes so far, and those that follow unless another replay is given."""
        self._changes = [SteeringStep.parse(entry) for entry in state_dict["changes"]]
        if not self._replay:
            self._planned = [SteeringStep.parse(entry) for entry in state_dict["planned"]]

    # The run

    def on_train_start(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Restores the changes of a resumed run and shows the run."""
        run = RunState.of(trainer)
        self._start = time.monotonic()
        self._clock.start_stage(run.module.stage_step)
        self._folder = run.folder
        if self._folder is not None:
            # A plain string: it is looked up after each step.
            self._control = str(self._folder / CONTROL_NAME)
            self._folder.mkdir(parents=True, exist_ok=True)
            # It was meant for an earlier process.
            with suppress(InputError):
                take_control(self._folder)
        if trainer.ckpt_path is not None:
            self._restore(run)
        elif self._folder is not None:
            (self._folder / STEERING_NAME).unlink(missing_ok=True)
        self._record(run)
        self._apply_planned(run)
        self._write_status(run)

    def on_train_epoch_start(self, *unused: Any) -> None:
        """Starts to measure the steps of a stage."""
        self._clock.start_stage(0)

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Applies the changes that are due, and writes the picture and the status if their time has come."""
        run = RunState.of(trainer)
        self._apply_planned(run)
        self._apply_control(run)
        if self._folder is not None:
            self._write_due(run)

    def on_train_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Writes the last picture."""
        run = RunState.of(trainer)
        self._write_preview(run)
        if self._folder is not None:
            self._last_status = self._describe(run, "finished" if run.step >= run.planned_steps else "stopped")
        if self._planned:
            _report(run, f"The run ends before {len(self._planned)} of the changes to replay.")

    def on_fit_end(self, *unused: Any) -> None:
        """Writes that the run has ended, after all of its other files."""
        self._write(LIVE_NAME, self._last_status)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Writes that an error or Ctrl-C has ended the run."""
        if self._folder is not None:
            if isinstance(exception, Exception):
                self._error = " ".join(str(exception).split())
            # After an error of a GPU its numbers cannot be read; that error says more.
            with suppress(RuntimeError):
                self._write(LIVE_NAME, self._describe(RunState.of(trainer), "stopped"))

    # Changes

    def _restore(self, run: RunState) -> None:
        """Sets what the changes before the checkpoint have set, and finds the changes after it."""
        merged = merge_changes(self._changes)
        merged = replace(merged, weights={n: w for n, w in merged.weights.items() if n in _terms(run)})
        if merged:
            self._set_values(run, merged)
            _report(run, f"The run continues with the changes made before: {merged.describe()}.")
        self._found = run.trainer.strategy.broadcast(self._find_later_changes(run))
        planned = [*self._planned, *(entry for entry in self._found if entry not in self._planned)]
        self._planned = sorted((entry for entry in planned if entry.step > run.step), key=lambda entry: entry.step)

    def _find_later_changes(self, run: RunState) -> list[SteeringStep]:
        """Returns the changes that a killed process made after the last checkpoint; a stop was for that process."""
        path = None if self._folder is None else self._folder / STEERING_NAME
        if path is None or not path.exists():
            return []
        try:
            entries = [replace(entry, change=replace(entry.change, stop=False)) for entry in read_steering(path)]
        except InputError as error:
            _report(run, str(error))
            return []
        return [entry for entry in entries if entry.step > run.step and entry.change]

    def _apply_planned(self, run: RunState) -> None:
        while self._planned and self._planned[0].step <= run.step:
            self._apply(run, self._planned.pop(0).change)

    def _apply_control(self, run: RunState) -> None:
        """Reads a change and applies it; one that cannot be used is reported and has no effect."""
        change = self._take_control(run)
        if run.trainer.world_size > 1:
            change = run.trainer.strategy.broadcast(change)
        if change:
            try:
                self._apply(run, change)
            except InputError as error:
                self._ignore(run, error)
            else:
                self._error = None
                self._write_status(run)

    def _take_control(self, run: RunState) -> Steering | None:
        if self._folder is None or not os.path.lexists(self._control):
            return None
        try:
            return take_control(self._folder)
        except InputError as error:
            self._ignore(run, error)
            return None

    def _ignore(self, run: RunState, error: InputError) -> None:
        self._error = str(error)
        _report(run, f"The run ignores a change: {error}")
        self._write_status(run)

    def _apply(self, run: RunState, change: Steering) -> None:
        """Applies a change and records it.

        Raises:
            InputError: the change does not fit the run, which stays as it was.
        """
        self._set_values(run, change)
        is_entered = run.module.entered_stage is not None
        if change.changes_objective and is_entered:
            run.module.change_objective()
        if change.more_steps and is_entered:
            run.module.add_steps(change.more_steps)
        elif change.more_steps:
            run.data.add_steps(change.more_steps)
        if change.stop:
            # Lightning reads this after each step, and then ends as after the last step.
            run.trainer.should_stop = True
        self._changes.append(SteeringStep(run.step, change))
        self._record(run)
        _report(run, f"Changed after step {run.step}: {change.describe()}.")
        for logger in run.tensorboard_loggers:
            logger.experiment.add_text("steering", change.describe(), run.step)

    def _set_values(self, run: RunState, change: Steering) -> None:
        """Sets weights and strength; the objective takes them over with its next targets."""
        module, data = run.module, run.data
        change.check(_terms(run), len(data.styles.declared_weights))
        if change.style_weights is not None:
            previous = data.styles
            data.use_styles(previous.with_weights(change.style_weights, data.require_source()))
            try:
                module.objective.check(data.pictures(run.stage))
            except InputError:
                data.use_styles(previous)
                raise
        if change.strength is not None:
            module.strength = change.strength
        for name, weight in change.weights.items():
            module.objective.named_losses[name].change_weight(weight)

    def _record(self, run: RunState) -> None:
        """Writes all changes so far, and those that are made again, if there are any."""
        recorded = [*self._changes, *(entry for entry in self._found if entry in self._planned)]
        if self._folder is not None and recorded:
            try:
                write_steering(self._folder / STEERING_NAME, recorded)
            except OSError as error:
                _report(run, f"The changes are not recorded: {error}.")

    # Files

    def _write_due(self, run: RunState) -> None:
        has_preview, has_status = self._preview_throttle.is_due(), self._status_throttle.is_due()
        if has_preview or has_status:
            wait_for_device(run)
        if has_preview:
            self._write_preview(run)
        if has_status:
            self._write_status(run)

    def _write_preview(self, run: RunState) -> None:
        if self._folder is not None:
            with self._preview_throttle.measured():
                buffer = io.BytesIO()
                shrink_result(run).save(buffer, "WEBP", quality=80, method=0)
                self._write(PREVIEW_NAME, buffer.getvalue())

    def _write_status(self, run: RunState) -> None:
        if self._folder is not None:
            with self._status_throttle.measured():
                self._write(LIVE_NAME, self._describe(run, "painting"))

    def _describe(self, run: RunState, state: str) -> dict[str, Any]:
        status = describe_run(run, state, time.monotonic() - self._start, self._clock.remaining(run))
        return status if self._error is None else status | {"error": self._error}

    def _write(self, name: str, content: bytes | Mapping[str, Any]) -> None:
        """Writes a file into the run folder; a full disk does not end a run that could still end well."""
        if self._folder is not None:
            encoded = content if isinstance(content, bytes) else f"{json.dumps(content)}\n".encode()
            with suppress(OSError):
                write_bytes(self._folder / name, encoded)


def merge_changes(changes: Iterable[SteeringStep]) -> Steering:
    """Returns the settings that are in effect after some changes: weights, strength and style weights."""
    merged = Steering()
    for entry in changes:
        merged = merged.merge(entry.change)
    return replace(merged, stop=False, more_steps=0)


def count_added_steps(checkpoint: Mapping[str, Any]) -> int:
    """Returns the steps that changes before a checkpoint have added to its plan.

    Raises:
        InputError: the checkpoint has no usable changes.
    """
    changes = checkpoint.get("callbacks", {}).get(LiveSteering.__qualname__, {}).get("changes", [])
    if not isinstance(changes, list):
        raise InputError("Expected a checkpoint with a list of changes, but its entry is something else.")
    return sum(SteeringStep.parse(entry).change.more_steps for entry in changes)


def _terms(run: RunState) -> list[str]:
    return list(run.module.objective.named_losses)


def _report(run: RunState, text: str) -> None:
    """Prints a line above the progress bar."""
    if not run.trainer.is_global_zero:
        return
    bar = run.trainer.progress_bar_callback
    if bar is not None and getattr(bar, "is_enabled", True):
        bar.print(text)
    else:
        print(text)
