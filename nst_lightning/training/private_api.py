"""Everything that relies on undocumented behavior of Lightning, jsonargparse or torch.

No other file of the package uses a private name of theirs, the layout of a checkpoint's ``loops`` or the text of a
message. Each function and constant has a test in ``tests/training/test_private_api.py`` that says what breaks when a
new version of a library moves it. What relies on Gradio is in ``app/event_stream.py``.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeGuard

import torch
import torch.distributed as dist
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.progress import _ProcessedTracker

# Loggers of Lightning whose messages CHATTER is dropped from.
CHATTY_LOGGERS = (
    "lightning.fabric.utilities.distributed",
    "lightning.fabric.utilities.rank_zero",
    "lightning.fabric.utilities.seed",
    "lightning.pytorch.accelerators.cuda",
    "lightning.pytorch.callbacks.model_summary",
    "lightning.pytorch.utilities.rank_zero",
)

# How the messages begin that Lightning logs at each run and that say nothing about the picture.
CHATTER = (
    "GPU available:",
    "TPU available:",
    "HPU available:",
    "LOCAL_RANK:",
    "Seed set to",
    "Using bfloat16 Automatic Mixed Precision",
    "You are using a CUDA device",
    "Loading `train_dataloader`",
    "Restoring states from the checkpoint",
    "Restored all states",
    "`Trainer.fit` stopped:",
    "Initializing distributed:",
    f"{'-' * 100}\ndistributed_backend=",
    "Detected KeyboardInterrupt",
    "💡 Tip:",
    "| Name",
)

# Warnings that do not apply to a run of this package: the start of each text, a regular expression, and its category.
WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # All processes of a run on several devices have the same values.
    (r"It is recommended to use `self.log\(.*sync_dist=True", Warning),
    # A short stage has fewer points of its curves than the interval of the logger; that is no reason to warn.
    ("The number of training batches .* smaller than the logging interval", Warning),
    # Lightning 2.6 calls torch in a way that torch 2.10 deprecates.
    (".*LeafSpec.*is deprecated", FutureWarning),
    # A resumed run writes into its own folder.
    ("Checkpoint directory .* exists and is not empty", Warning),
    # `keep_csv_curves` restores what this warning says is deleted.
    ("Experiment logs directory .* exists and is not empty", Warning),
)


def stage_number(loop: _FitLoop) -> int:
    """Returns the number of the stage that was entered last, also after its end."""
    epochs = loop.epoch_progress.current
    assert isinstance(epochs, _ProcessedTracker)
    return max(0, epochs.started - 1)


def count_steps(loop: _FitLoop, more: int) -> None:
    """Adds the optimizer steps that a training step makes beyond the one that Lightning counts."""
    loop.epoch_loop._batches_that_stepped += more
    steps = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
    steps.ready += more
    steps.completed += more


def set_batches(loop: _FitLoop, left: int) -> int:
    """Sets how many training steps follow in the current stage; after its last one, the stage continues.

    Args:
        loop: the loop.
        left: training steps after the current one.

    Returns:
        The number of training steps that the loader must have.
    """
    fetcher, epoch = loop._data_fetcher, loop.epoch_loop
    assert fetcher is not None
    total = epoch.batch_progress.current.ready + left
    loop.max_batches = fetcher.length = total
    fetcher.done = epoch.batch_progress.is_last_batch = left == 0
    return total


def set_loops(loops: dict[str, Any], stage: int, batch: int) -> None:
    """Sets the counters in a checkpoint's loops to a point between two training steps or at the start of a stage.

    Args:
        loops: ``checkpoint["loops"]["fit_loop"]``, changed in place.
        stage: the stage that the run is in.
        batch: training steps that are complete in this stage.
    """
    total_steps = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"]
    inside = batch > 0
    # Lightning saves at the end of a step that is processed but not completed, in an epoch that is started but not
    # processed. On loading it completes that step and continues with the next one.
    epochs = _counters(stage + inside, stage + inside, stage, stage)
    batches = _counters(batch, batch, batch, batch - inside)
    all_batches = _counters(total_steps, total_steps, total_steps, total_steps - inside)
    loops["epoch_progress"] = {"total": dict(epochs), "current": dict(epochs)}
    loops["epoch_loop.batch_progress"] |= {"total": all_batches, "current": batches, "is_last_batch": False}
    loops["epoch_loop.state_dict"]["_batches_that_stepped"] = total_steps - inside


def chooses_version(logger: Logger) -> TypeGuard[CSVLogger | TensorBoardLogger]:
    """Whether a logger will choose the next free number for its folder ``version_0``, ``version_1``, ..."""
    return isinstance(logger, CSVLogger | TensorBoardLogger) and logger._version is None


def set_version(logger: CSVLogger | TensorBoardLogger, version: int) -> None:
    """Sets the number of a logger's folder."""
    logger._version = version


def _counters(ready: int, started: int, processed: int, completed: int) -> dict[str, int]:
    return {"ready": ready, "started": started, "processed": processed, "completed": completed}


def fit_loop_state(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of a checkpoint that holds the counters of ``Trainer.fit_loop``."""
    loops: dict[str, Any] = checkpoint["loops"]["fit_loop"]
    return loops


def is_exit_after_interrupt(error: SystemExit) -> bool:
    """Whether Lightning raised this ``SystemExit`` because of Ctrl-C, and left Ctrl-C ignored."""
    return isinstance(error.__context__, KeyboardInterrupt)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch failed to allocate memory on a GPU, or on the CPU, where torch raises a plain RuntimeError."""
    parts = ("can't allocate memory", "Storage size calculation overflowed")
    return isinstance(error, torch.OutOfMemoryError) or any(part in str(error) for part in parts)


def is_connection_lost(error: RuntimeError) -> bool:
    """Whether a process of a run on several devices has lost the connection to another one.

    torch has exceptions of its own for some of these errors and plain ones, with messages of gloo, for others.
    """
    parts = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL communicator was aborted")
    return isinstance(error, dist.DistError) or any(part in str(error) for part in parts)


def explain_parser_error(message: str) -> str | None:
    """Returns a message that says what to do, for errors of the parser that do not, or None."""
    study = "Expected a recipe, but got a study: use python -m nst_lightning study --config NAME."
    recipe = "Expected a recipe, but got none: add --config transfer, or the file of another one."
    term = (
        "Expected the name of a term of the recipe in --model.losses.NAME, or the class of a new one, such as "
        "--model.losses.NAME TotalVariationLoss."
    )
    explanations = {
        "arguments are required: model.backbone": recipe,
        "Option 'title' is not accepted": study,
        "nst_lightning.Loss is abstract": term,
        "instantiate abstract class Loss ": term,
    }
    name = re.search(r"Expected a dot import path string: *(\S*)", message)
    if name is not None:
        key = re.search(r'key "([\w.+]+)"', message)
        place = "" if key is None else f" for {key[1]}"
        return f"Expected a class{place} by its name or as MODULE.CLASS, but {name[1]!r} is none of this kind."
    return next((text for part, text in explanations.items() if part in message), None)


def unknown_option(message: str) -> str | None:
    """Returns the dotted name of the first option that a parser rejects as unknown, or None for another error.

    Args:
        message: of argparse for an option on the shell, or of jsonargparse for a key in a configuration file.
    """
    shell = re.search(r"unrecognized arguments:.*?--([\w.]+)", message, re.DOTALL)
    file = re.search(r"does not accept option '([\w.]+)'", message)
    match = shell or file
    return match[1] if match else None
