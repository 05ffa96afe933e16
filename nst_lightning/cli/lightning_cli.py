"""LightningCLI with our module, our data and our manners."""

from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

# Imported so that YAML may name them by their short names.
from nst_lightning import backbones, losses  # noqa: F401
from nst_lightning.backbones import Backbone
from nst_lightning.callbacks import (
    CheckpointWriter,
    FilmWriter,
    FiniteGuard,
    GracefulInterrupt,
    ImageLogger,
    ResultWriter,
    RunSummary,
    SnapshotWriter,
    StageProgressBar,
)
from nst_lightning.callbacks.checkpoint import LAST
from nst_lightning.callbacks.config import RunConfig
from nst_lightning.callbacks.run_folder import run_folder
from nst_lightning.callbacks.snapshots import check_ends
from nst_lightning.cli.parser import Parser
from nst_lightning.cli.trainer_options import NOT_OURS, TRAINER_DEFAULTS
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.system.precision import PRECISIONS, is_emulated, native_precision
from nst_lightning.training.cuda_graphs import check_graph_device
from nst_lightning.training.memory_estimate import configure_memory
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.resume import newest_checkpoint, read_checkpoint
from nst_lightning.version import __version__

USAGE = "python -m nst_lightning fit --config FILE [--config FILE ...] [--KEY VALUE ...]"

DESCRIPTION = """Paints a picture as a configuration file says. Every value in the file is an option here; a value on
the command line, or in a later file, goes before one in an earlier file."""


class TransferCLI(LightningCLI):
    """`fit`: paints a picture as a YAML file and the shell's overrides say.

    Args:
        args: what stands on the command line, or a configuration.
        backbone: a network to use in place of the one that the configuration describes, which it is.
        beside: callbacks in place of the progress bar and of the line that says where the result is.
        start: whether to paint at once.
    """

    datamodule: TransferData
    model: StyleTransfer

    def __init__(
        self,
        args: ArgsType = None,
        *,
        backbone: Backbone | None = None,
        beside: list[Callback] | None = None,
        start: bool = True,
    ) -> None:
        self._backbone = backbone
        self._announce = beside is None
        self._start = start
        self._written: Namespace | None = None
        self._checkpoint: dict[str, Any] | None = None
        self._finished = False
        self._native = False
        self._interrupt = GracefulInterrupt()
        self._film_writer: FilmWriter | None = None
        super().__init__(
            model_class=StyleTransfer,
            datamodule_class=TransferData,
            save_config_callback=RunConfig,
            trainer_defaults=TRAINER_DEFAULTS
            | {"callbacks": [FiniteGuard(), self._interrupt, RunSummary(), *_shown(beside)]},
            seed_everything_default=0,
            parser_kwargs={
                "prog": "python -m nst_lightning",
                "version": __version__,
                "fit": {"usage": USAGE, "description": DESCRIPTION},
            },
            parser_class=Parser,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # it serves `save_hyperparameters`, which the module does not call
            args=args,
        )

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run before its plan did."""
        return self._interrupt.interrupted

    @property
    def finished(self) -> bool:
        """Whether the checkpoint is of a plan that is done; after :meth:`before_fit`."""
        return self._finished

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """There is nothing to validate, test or predict."""
        return {"fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule"}}

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """What a person looks for first stands first in `--help`: pictures, objective, results, then the Trainer."""
        parser.add_argument(
            "--output",
            type=str | None,
            help="file to write besides stylized.png in the run folder: jpg, png, webp or tiff by its ending; "
            "of a film besides film.mp4: mp4, mov, mkv, webm, gif, webp, or a folder for its frames",
        )
        parser.add_lightning_class_args(TransferData, "data")
        parser.add_lightning_class_args(StyleTransfer, "model")
        parser.add_lightning_class_args(ImageLogger, "previews")
        parser.add_lightning_class_args(CheckpointWriter, "checkpoints")
        parser.add_lightning_class_args(SnapshotWriter, "snapshots")
        parser.add_class_arguments(
            Trainer, "trainer", skip=set(NOT_OURS), instantiate=False, fail_untyped=False, sub_configs=True
        )
        parser.set_defaults({f"trainer.{k}": v for k, v in self.trainer_defaults.items() if k != "callbacks"})

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses, finds the checkpoint that is meant and reads it."""
        self.config = parser.parse_object(args) if isinstance(args, dict | Namespace) else parser.parse_args(args)
        config = self.config.fit
        self._native = config.trainer.precision is None
        if self._native:
            config.trainer.precision = native_precision(str(config.trainer.accelerator))
        if config.trainer.precision not in PRECISIONS:
            raise InputError(
                f"Expected `trainer.precision` to be {' or '.join(PRECISIONS)}, but got {config.trainer.precision}."
            )
        if config.ckpt_path == "last":
            _continue_last_run(config)
        if config.ckpt_path is not None:
            self._checkpoint = read_checkpoint(Path(config.ckpt_path))

    def instantiate_classes(self) -> None:
        """Makes everything of the configuration, but for the network where it is given."""
        if self._backbone is None:
            super().instantiate_classes()
            return
        self._written = self.config
        self.config = self.config.clone()
        self.config.fit.model.backbone = self._backbone
        super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Gives the Trainer an epoch for each stage, and the writer of the result."""
        # What is saved with the run is the description of its network.
        self.config = self._written or self.config
        self.datamodule.setup("fit")
        output = self.config_init.fit.output
        if self.datamodule.film is not None:
            self._film_writer = FilmWriter(self.datamodule, output, self._announce)
        # Last, so that what it says stands below the finished bar.
        self.trainer_defaults["callbacks"].append(self._film_writer or ResultWriter(output, self._announce))
        return super().instantiate_trainer(
            **kwargs,
            max_epochs=len(self.datamodule.stages),
            reload_dataloaders_every_n_epochs=1,
            enable_model_summary=False,
            **({} if self._announce else {"enable_progress_bar": False}),
        )

    def begin(self) -> None:
        """Paints, where `start` was false."""
        super()._run_subcommand("fit")

    def _run_subcommand(self, subcommand: str) -> None:
        if self._start:
            super()._run_subcommand(subcommand)

    def before_fit(self) -> None:
        """Finds mistakes before the run has a folder."""
        if self.model.cuda_graphs:
            check_graph_device(self.trainer.strategy.root_device)
        check_ends(
            self.config_init.fit.snapshots.at_steps, self.datamodule.step_ends(), self.datamodule.iterations_per_step
        )
        self.model.first_image(self.datamodule)
        configure_memory(
            self.model, self.datamodule, self.config.fit.trainer.precision, self.trainer.strategy.root_device
        )
        if self._checkpoint is not None:
            at = self.model.check_checkpoint(self._checkpoint, self.datamodule)
            self._finished = at.stage == len(self.datamodule.stages)
            if not self._finished:
                self._checkpoint = None

    def fit(self, **arguments: Any) -> None:
        """Paints, unless the checkpoint is of a plan that is done."""
        if self._finished:
            print("The plan of this checkpoint is done and nothing is left to do; more data.plan.steps go on.")
            self._write_film_again()
            return
        if self._announce:
            self._announce_precision()
        self.trainer.fit(**arguments)

    def _announce_precision(self) -> None:
        trainer = self.config.fit.trainer
        if self._native and trainer.precision == "bf16-mixed":
            print("The network computes in bfloat16, native to this machine; --trainer.precision 32-true forbids it.")
        elif is_emulated(trainer.precision, str(trainer.accelerator)):
            print(
                "This machine is not known to compute in bfloat16 itself and may take a hundred times as long as in "
                "float32: --trainer.precision 32-true is quicker then."
            )

    def _write_film_again(self) -> None:
        """Writes the film of frames that were painted before, in case that it could not be, or is wanted elsewhere."""
        if self._film_writer is not None and self._checkpoint is not None:
            count = self.datamodule.stages[-1].frame + 1
            self._film_writer.open(run_folder(self.trainer))
            image = self._checkpoint["state_dict"]["image"]
            self._film_writer.complete(count, Path(self.config.fit.ckpt_path), image)
            self._film_writer.write(count)


def _shown(beside: list[Callback] | None) -> list[Callback]:
    return [StageProgressBar()] if beside is None else beside


def _continue_last_run(config: Namespace) -> None:
    """Puts the newest checkpoint in place of `last`, and its run folder in place of a new one."""
    logger = config.trainer.logger
    if not isinstance(logger, Namespace):
        raise InputError(
            "Expected one logger with a save_dir for `--ckpt_path last`: name the checkpoint file instead."
        )
    runs = Path(logger.init_args.save_dir) / (logger.init_args.get("name") or "")
    newest = newest_checkpoint(runs, LAST)
    config.ckpt_path = str(newest)
    logger.init_args.version = newest.parts[-3]
