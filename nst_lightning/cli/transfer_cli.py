"""LightningCLI configured for style transfer: from a command line to a run."""

from pathlib import Path
from typing import Any, ClassVar

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

# Imported so that YAML may name their classes by short names.
from nst_lightning import backbones, losses  # noqa: F401
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
from nst_lightning.cli.parser import Parser
from nst_lightning.cli.run import Run
from nst_lightning.cli.trainer_options import NOT_OURS, TRAINER_DEFAULTS
from nst_lightning.data.film import FilmData
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.system.precision import PRECISIONS, native_precision
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.resume import newest_checkpoint
from nst_lightning.version import __version__

USAGE = "python -m nst_lightning fit --config FILE [--config FILE ...] [--KEY VALUE ...]"

DESCRIPTION = """Paints a picture as a configuration file describes it. Every value in the file is an option here; a
value on the command line, or in a later file, replaces that of an earlier file."""


class TransferCLI(LightningCLI):
    """LightningCLI configured for style transfer. It parses; :meth:`build` creates the run.

    Args:
        args: arguments of the command line, or a configuration.
    """

    _shared_parser: ClassVar[LightningArgumentParser | None] = None

    def __init__(self, args: ArgsType = None) -> None:
        self.precision_is_chosen = False
        super().__init__(
            model_class=StyleTransfer,
            datamodule_class=FilmData,
            save_config_callback=RunConfig,
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=0,
            parser_kwargs={
                "prog": "python -m nst_lightning fit",
                "version": __version__,
                "usage": USAGE,
                "description": DESCRIPTION,
            },
            parser_class=Parser,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # it serves `save_hyperparameters`, which the module does not call
            args=args,
            run=False,
        )

    # Parsing

    def setup_parser(self, *arguments: Any) -> None:
        """Builds the parser once per process: a study parses many configurations."""
        if TransferCLI._shared_parser is None:
            super().setup_parser(*arguments)
            TransferCLI._shared_parser = self.parser
        self.parser = TransferCLI._shared_parser

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options in the order in which a person looks for them: pictures, objective, results, Trainer."""
        parser.add_argument(
            "--output",
            type=str | None,
            help="file to write besides stylized.png in the run folder, in the format of its extension: jpg, png, webp "
            "or tiff; for a film besides film.mp4: mp4, mov, mkv, webm, gif, webp, or a folder for its frames",
        )
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            help="checkpoint to resume from; `last` is that of the newest run of the logger, in the same run folder",
        )
        parser.add_argument("--weights_only", type=bool | None, help="without effect; checkpoints hold tensors alone")
        parser.add_lightning_class_args(FilmData, "data")
        parser.add_lightning_class_args(StyleTransfer, "model")
        parser.add_lightning_class_args(ImageLogger, "previews")
        parser.add_lightning_class_args(CheckpointWriter, "checkpoints")
        parser.add_lightning_class_args(SnapshotWriter, "snapshots")
        parser.add_class_arguments(
            Trainer, "trainer", skip=set(NOT_OURS), instantiate=False, fail_untyped=False, sub_configs=True
        )
        parser.set_defaults({f"trainer.{name}": value for name, value in TRAINER_DEFAULTS.items()})

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses, chooses the precision unless it is given, and finds the checkpoint that `last` names."""
        config = parser.parse_object(args) if isinstance(args, dict | Namespace) else parser.parse_args(args)
        self.precision_is_chosen = config.trainer.precision is None
        if self.precision_is_chosen:
            config.trainer.precision = native_precision(str(config.trainer.accelerator))
        if config.trainer.precision not in PRECISIONS:
            raise InputError(
                f"Expected `trainer.precision` to be {' or '.join(PRECISIONS)}, but got {config.trainer.precision}."
            )
        if config.ckpt_path == "last":
            _resume_last_run(config)
        self.config = config

    def instantiate_classes(self) -> None:
        """Creates nothing; see :meth:`build`."""

    # Building

    def build(
        self,
        *,
        replaced: dict[str, Any] | None = None,
        data: TransferData | None = None,
        callbacks: list[Callback] | None = None,
        owns_process: bool = True,
    ) -> Run:
        """Creates the run that the configuration describes and checks everything before it has a folder.

        Args:
            replaced: instances that replace configured arguments of :class:`StyleTransfer`, such as a backbone that
                several runs share.
            data: data module that replaces the configured one.
            callbacks: callbacks in place of the progress bar; such a run prints nothing.
            owns_process: whether the run may configure memory allocation for the whole process.

        Raises:
            InputError: something that the configuration names cannot be used.
        """
        module, configured_data = self.build_parts(replaced)
        data = data or configured_data
        data.setup("fit")
        prints = callbacks is None
        interrupt = GracefulInterrupt()
        writer = _result_writer(data, self.config.output, prints)
        self.trainer_defaults = {"callbacks": [FiniteGuard(), interrupt, RunSummary(), *self._shown(callbacks), writer]}
        trainer = self.instantiate_trainer(
            max_epochs=len(data.stages),
            reload_dataloaders_every_n_epochs=1,
            enable_model_summary=False,
            **({} if prints or callbacks else {"enable_progress_bar": False}),
        )
        return Run(
            module=module,
            data=data,
            trainer=trainer,
            config=self.config,
            interrupt=interrupt,
            writer=writer,
            prints=prints,
            owns_process=owns_process,
            precision_is_chosen=self.precision_is_chosen,
        )

    def build_parts(self, replaced: dict[str, Any] | None = None) -> tuple[StyleTransfer, FilmData]:
        """Creates the module and the data module; see :meth:`build`."""
        seed_everything(self.config.seed_everything, workers=True, verbose=False)
        config = self.config.clone()
        for name, value in (replaced or {}).items():
            config.model[name] = value
        self.config_init = self.parser.instantiate_classes(config)
        return self.config_init.model, self.config_init.data

    def _shown(self, callbacks: list[Callback] | None) -> list[Callback]:
        """Returns the given callbacks, or our progress bar unless the user disables it or brings another one."""
        if callbacks is not None:
            return callbacks
        given = self.config_init.trainer.callbacks or []
        has_bar = any(isinstance(callback, ProgressBar) for callback in (given if isinstance(given, list) else [given]))
        return [] if has_bar or self.config.trainer.enable_progress_bar is False else [StageProgressBar()]


def _result_writer(data: TransferData, output: str | None, prints: bool) -> FilmWriter | ResultWriter:
    if isinstance(data, FilmData) and data.film is not None:
        return FilmWriter(data, output, prints)
    return ResultWriter(output, prints)


def _resume_last_run(config: Namespace) -> None:
    """Replaces `last` by the newest checkpoint and the version of the logger by that of its run."""
    logger = config.trainer.logger
    if not isinstance(logger, Namespace):
        raise InputError(
            "Expected one logger with a save_dir for `--ckpt_path last`: name the checkpoint file instead."
        )
    runs = Path(logger.init_args.save_dir) / (logger.init_args.get("name") or "")
    newest = newest_checkpoint(runs, LAST)
    config.ckpt_path = str(newest)
    logger.init_args.version = newest.parts[-3]
