"""A run: module, data and Trainer, checked and ready to fit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException

from nst_lightning.callbacks import FilmWriter, GracefulInterrupt, ResultWriter
from nst_lightning.callbacks.snapshots import check_snapshot_steps
from nst_lightning.cli.device_processes import is_device_process, read_memory_choice
from nst_lightning.cli.own_folder import explained_disk_errors, own_folder
from nst_lightning.cli.run_versions import keep_csv_curves
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError, UsageError
from nst_lightning.images.opening import limit_pixels
from nst_lightning.system.precision import is_emulated
from nst_lightning.training.evaluation.cuda_graphs import check_graph_device
from nst_lightning.training.memory_estimate import MemoryChoice, ProcessCount, configure_memory, set_allocation
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.private_api import is_connection_lost, is_out_of_memory
from nst_lightning.training.resume import read_tile
from nst_lightning.training.run_folder import run_folder
from nst_lightning.training.tile_choice import check_sharing


@dataclass
class Run:
    """A run that is checked and ready to fit. All checks happen before the run has a folder.

    Attributes:
        module: the image and its objective.
        data: the pictures and the plan.
        trainer: Lightning's Trainer with all callbacks.
        config: the parsed configuration.
        checkpoint: the checkpoint to resume from.
        interrupt: the callback that ends the run on Ctrl-C.
        writer: the callback that writes the result.
        prints: whether to print where the result is.
        owns_process: whether the run may configure memory allocation for the whole process.
        precision_is_chosen: whether the precision was chosen for this machine instead of by the user.
        threads_message: a sentence for the user about the number of threads.
        is_finished: whether the checkpoint to resume from has no steps left.
        memory: tiles, and whether freed memory is kept.
    """

    module: StyleTransfer
    data: TransferData
    trainer: pl.Trainer
    config: Namespace
    checkpoint: Mapping[str, Any] | None
    interrupt: GracefulInterrupt
    writer: FilmWriter | ResultWriter
    prints: bool
    owns_process: bool
    precision_is_chosen: bool
    threads_message: str | None
    is_finished: bool = field(init=False, default=False)
    memory: MemoryChoice = field(init=False, repr=False)
    _resumed_step: int | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        device = self.trainer.strategy.root_device
        self.module.check_optimizer()
        if self.module.cuda_graphs:
            check_graph_device(device)
        check_snapshot_steps(self.config.snapshots.at_steps, self.data.step_ends(), self.data.iterations_per_step)
        self.data.require_previous_frames(self.module.objective.offsets)
        self.module.round_shapes(self.data)
        # Before pictures of the full size exist: a size that is far too large is refused at once.
        tile = None if self.checkpoint is None else read_tile(self.checkpoint)
        shared = read_memory_choice()
        if shared is None:
            self.memory = configure_memory(
                self.module,
                self.data,
                self.config.trainer.precision,
                device,
                self.owns_process,
                tile,
                self._processes(),
            )
        else:
            self.module.chosen_tile = shared.tile
            self.memory = shared
            set_allocation(shared.keeps_freed)
        self.module.check_data(self.data)
        if self.trainer.world_size > 1:
            check_sharing(self.module.objective, self.data)
        self.prints = self.prints and self.trainer.is_global_zero
        if self.checkpoint is not None:
            position = self.module.check_checkpoint(self.checkpoint, self.data)
            self._resumed_step = self.checkpoint["global_step"]
            self.is_finished = position.stage == len(self.data.stages)
            # Lightning loads the checkpoint by itself; only the film of a finished run needs its image.
            if not self.is_finished:
                self.checkpoint = None

    def _processes(self) -> ProcessCount:
        on_this_machine = self.trainer.num_devices if self.trainer.strategy.root_device.type == "cpu" else 1
        return ProcessCount(self.trainer.world_size, on_this_machine)

    @property
    def needs_processes(self) -> bool:
        """Whether there are several devices, and this process is not that of one of them."""
        return self.trainer.world_size > 1 and not is_device_process() and not self.is_finished

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run early."""
        return self.interrupt.interrupted

    def fit(self) -> None:
        """Paints, unless the checkpoint to resume from has no steps left.

        Raises:
            UsageError: the run has several devices, and only `fit` starts a process for each.
            InputError: the states in the checkpoint to resume from cannot be used.
        """
        if self.needs_processes:
            raise UsageError(
                "Expected trainer.devices to be 1 here, because only `fit` shares a picture among devices, but "
                f"got {self.trainer.world_size}."
            )
        resume = "again, with --ckpt_path last if there is a checkpoint" if self.prints else "again"
        with explained_disk_errors(resume), own_folder(self.trainer):
            self._fit()

    def _fit(self) -> None:
        if self.is_finished:
            more = "a larger data.plan.steps"
            if self.data.plan.tolerance is not None:
                more += ", or a smaller data.plan.tolerance,"
            print(f"All steps of this checkpoint's plan are made; {more} continues it.")
            self._write_again()
            return
        if self.prints:
            self._print_choices()
        # Before the loggers are used: CSVLogger deletes its file then.
        if self._resumed_step is not None and self.trainer.is_global_zero:
            keep_csv_curves(self.trainer.loggers, self._resumed_step)
        pl.seed_everything(self.config.seed_everything, workers=True, verbose=False)
        try:
            with limit_pixels(self.config.max_pixels):
                self.trainer.fit(self.module, datamodule=self.data, ckpt_path=self.config.ckpt_path)
        except Exception as error:
            if isinstance(error, InputError | OSError | MisconfigurationException) or not self._can_be_state(error):
                raise
            # Lightning and torch restore states without checking them.
            raise InputError(
                f"Expected a checkpoint that this run can continue from, but {self.config.ckpt_path} is damaged or of "
                f"another version ({type(error).__name__}: {error}): name an older checkpoint, or start again without "
                "--ckpt_path."
            ) from error

    def _can_be_state(self, error: Exception) -> bool:
        """Whether an error can come from the states of a checkpoint: the resumed run has made no step."""
        if isinstance(error, RuntimeError) and (is_out_of_memory(error) or is_connection_lost(error)):
            return False
        return self._resumed_step is not None and self.trainer.global_step <= self._resumed_step

    def print_messages(self) -> None:
        """Prints the messages about threads and tiles."""
        for message in (self.threads_message, self.memory.message):
            if message is not None:
                print(message)

    def _print_choices(self) -> None:
        """Prints what was chosen for this machine, if it may be unexpected."""
        self.print_messages()
        options = self.config.trainer
        if self.precision_is_chosen and options.precision == "bf16-mixed":
            print("The network computes in bfloat16, native to this machine; --trainer.precision 32-true forbids it.")
        elif is_emulated(options.precision, str(options.accelerator)):
            print(
                "This machine is not known to support bfloat16 natively and may take a hundred times as long as in "
                "float32: --trainer.precision 32-true is faster then."
            )

    def _write_again(self) -> None:
        """Writes the result of a finished run, in case writing failed before or `--output` is new."""
        if self.checkpoint is None:
            return
        folder, image = run_folder(self.trainer), self.checkpoint["state_dict"]["image"]
        if isinstance(self.writer, FilmWriter):
            self.writer.open(folder)
            count = self.data.stages[-1].frame + 1
            self.writer.complete(count, Path(self.config.ckpt_path), image)
            self.writer.write(count)
        else:
            self.writer.write_again(folder, image, self.data)
