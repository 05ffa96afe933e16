"""LightningCLI configured for style transfer: from a command line to a run."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jsonargparse import Namespace
from jsonargparse.typing import PositiveFloat, PositiveInt
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
    LiveSteering,
    ResultWriter,
    RunSummary,
    SmallPartReporter,
    SnapshotWriter,
)
from nst_lightning.callbacks.config import RunConfig
from nst_lightning.callbacks.live import count_added_steps
from nst_lightning.cli.old_names import replace_old_options
from nst_lightning.cli.parser import Parser
from nst_lightning.cli.run import Run
from nst_lightning.cli.run_versions import find_last_run, resume_version
from nst_lightning.cli.stored_config import add_stored_options, can_resolve, check_resolved
from nst_lightning.cli.trainer_options import (
    REJECTED_OPTIONS,
    TRAINER_DEFAULTS,
    check_strategy,
    choose_progress_bar,
    count_processes,
    list_callbacks,
)
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError, UsageError
from nst_lightning.images.io import Depth
from nst_lightning.images.opening import DEFAULT_MAX_PIXELS, limit_pixels
from nst_lightning.system.precision import PRECISIONS, native_precision
from nst_lightning.system.processor_load import LOAD_METER
from nst_lightning.system.threads import choose_threads, paints_on_cpu
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.resume import read_checkpoint, read_threads
from nst_lightning.training.shared_strategy import SharedImageStrategy
from nst_lightning.training.steering import read_steering
from nst_lightning.version import __version__

FIT_USAGE = "python -m nst_lightning fit --config FILE [--config FILE ...] [--KEY VALUE ...]"

FIT_DESCRIPTION = """Paints a picture as a configuration file describes it. Every value in the file is an option here; a
value on the command line, or in a later file, replaces that of an earlier file."""


# NumPy takes no larger one.
MAX_SEED = 2**32 - 1


class TransferCLI(LightningCLI):
    """LightningCLI configured for style transfer. It parses; :meth:`build` creates the run.

    Args:
        args: arguments of the command line, or a configuration.
    """

    cached_parser: ClassVar[LightningArgumentParser | None] = None
    skipped_options: ClassVar[dict[str, set[str]]] = {"model": set(), "trainer": set(REJECTED_OPTIONS)}

    def __init__(self, args: ArgsType = None) -> None:
        self.precision_is_chosen = False
        # Read when the threads are chosen; the parsing in between takes part of the time that a measurement needs.
        LOAD_METER.start()
        super().__init__(
            model_class=StyleTransfer,
            datamodule_class=TransferData,
            save_config_callback=RunConfig,
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=0,
            parser_kwargs={
                "prog": "python -m nst_lightning fit",
                "version": __version__,
                "usage": FIT_USAGE,
                "description": FIT_DESCRIPTION,
            },
            parser_class=Parser,
            auto_configure_optimizers=False,  # the optimizer is an argument of the module
            load_from_checkpoint_support=False,  # it serves `save_hyperparameters`, which the module does not call
            args=args,
            run=False,
        )

    # Parsing

    def setup_parser(self, *arguments: Any) -> None:
        """Builds the parser once per process: a study parses many configurations."""
        if TransferCLI.cached_parser is None:
            super().setup_parser(*arguments)
            TransferCLI.cached_parser = self.parser
        self.parser = TransferCLI.cached_parser

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options in the order in which a person looks for them: pictures, objective, results, Trainer."""
        parser.add_argument(
            "--output",
            type=str | None,
            help="file to write in addition to stylized.png in the run folder, in the format of its extension: jpg, "
            "png, webp or tiff; for a film, in addition to film.mp4: mp4, mov, mkv, webm, gif, webp, or a folder for "
            "its frames",
        )
        parser.add_argument(
            "--depth",
            type=Depth,
            default=8,
            help="bits of each channel of stylized.png and of the output; 16 for a png or tiff",
        )
        parser.add_argument(
            "--max_pixels",
            type=PositiveFloat,
            default=DEFAULT_MAX_PIXELS,
            help="width times height in px above which an input picture is refused before it is decoded",
        )
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            help="checkpoint to resume from; `last` is that of the newest run of the logger, in the same run folder",
        )
        parser.add_argument(
            "--replay",
            type=str | None,
            help="steering.yaml of an earlier run, whose changes are applied after the same steps",
        )
        parser.add_argument(
            "--threads",
            type=PositiveInt | Literal["auto"],
            default="auto",
            help="number of threads on a CPU; `auto` leaves out cores that other processes use, and continues a "
            "checkpoint with the number it was made with",
        )
        parser.add_argument("--weights_only", type=bool | None, help="without effect; checkpoints hold only tensors")
        parser.add_lightning_class_args(TransferData, "data")
        skipped = self.skipped_options
        parser.add_class_arguments(
            StyleTransfer, "model", skip={*skipped["model"]}, fail_untyped=False, sub_configs=True
        )
        parser.add_lightning_class_args(ImageLogger, "previews")
        parser.add_lightning_class_args(CheckpointWriter, "checkpoints")
        parser.add_lightning_class_args(SnapshotWriter, "snapshots")
        parser.add_class_arguments(
            Trainer, "trainer", skip={*skipped["trainer"]}, instantiate=False, fail_untyped=False, sub_configs=True
        )
        defaults = {name: value for name, value in TRAINER_DEFAULTS.items() if name not in skipped["trainer"]}
        parser.set_defaults({f"trainer.{name}": value for name, value in defaults.items()})

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses, chooses the precision unless it is given, and finds the checkpoint that `last` names.

        The picture that a run starts from can provide the content and the styles, also the latter's options.
        """
        assert isinstance(parser, Parser)
        if isinstance(args, dict | Namespace):
            config = parser.parse_object(args)
        else:
            args = replace_old_options(sys.argv[1:] if args is None else args)
            config = parser.parse_args(args)
            parser.check_values(config)
            if can_resolve(config):
                config = parser.parse_args(add_stored_options(args, config))
        parser.check_values(config)
        check_strategy(config.trainer.strategy)
        _check_seed(config.seed_everything)
        self.precision_is_chosen = config.trainer.precision is None
        if self.precision_is_chosen:
            config.trainer.precision = native_precision(str(config.trainer.accelerator))
        if config.trainer.precision not in PRECISIONS:
            raise InputError(
                f"Expected `trainer.precision` to be {' or '.join(PRECISIONS)}, but got {config.trainer.precision}."
            )
        logger, root = config.trainer.logger, config.trainer.default_root_dir
        if config.ckpt_path == "last":
            path, version = find_last_run(logger, root)
            config.ckpt_path = str(path)
            resume_version(logger, version, root)
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
            callbacks: callbacks that replace the progress bar; the run then prints nothing.
            owns_process: whether the run may configure memory allocation for the whole process.

        Raises:
            InputError: something that the configuration names cannot be used.
        """
        check_resolved(self.config)
        with limit_pixels(self.config.max_pixels):
            path = self.config.ckpt_path
            checkpoint = None if path is None else read_checkpoint(Path(path))
            message = self.set_threads(checkpoint)
            module, configured_data = self.build_parts(replaced)
            data = data or configured_data
            data.setup("fit")
            if checkpoint is not None and (added := count_added_steps(checkpoint)):
                data.add_steps(added)
            prints = callbacks is None
            interrupt = GracefulInterrupt()
            writer = self._create_writer(data, prints)
            if callbacks is None:
                options = self.config_init.trainer
                bar = choose_progress_bar(options.callbacks, options.enable_progress_bar)
                callbacks = [self._create_steering(module, data), *bar, SmallPartReporter()]
            elif self.config.replay is not None:
                raise InputError("Expected `replay` in the fit command only: remove it from the configuration.")
            has_bar = prints or any(isinstance(callback, ProgressBar) for callback in callbacks)
            # The writer is last, so that it prints below the finished bar.
            self.trainer_defaults = {"callbacks": [FiniteGuard(), interrupt, *callbacks, RunSummary(), writer]}
            settings: dict[str, Any] = {
                "max_epochs": len(data.stages),
                "reload_dataloaders_every_n_epochs": 1,  # stages differ in their number of steps
                "enable_model_summary": False,
                **({} if has_bar else {"enable_progress_bar": False}),
            }
            configured = self.config_init.trainer.callbacks
            trainer = self._instantiate_checked(settings, list_callbacks(configured))
            if trainer.world_size > 1:
                # The Trainer has counted the devices. Each process makes all steps, so that none are divided.
                shared = {"strategy": SharedImageStrategy(), "use_distributed_sampler": False}
                trainer = self._instantiate_checked(settings | shared, list_callbacks(configured))
            return Run(
                module=module,
                data=data,
                trainer=trainer,
                config=self.config,
                checkpoint=checkpoint,
                interrupt=interrupt,
                writer=writer,
                prints=prints,
                owns_process=owns_process,
                precision_is_chosen=self.precision_is_chosen,
                threads_message=message,
            )

    def _instantiate_checked(self, settings: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Creates the Trainer, whose own errors do not name the option."""
        try:
            return self.instantiate_trainer(**settings, callbacks=callbacks)
        except (ImportError, TypeError, ValueError) as error:
            raise UsageError(f"Expected options of the Trainer that Lightning accepts, but: {error}") from error

    def _create_steering(self, module: StyleTransfer, data: TransferData) -> LiveSteering:
        steering = LiveSteering([] if self.config.replay is None else read_steering(Path(self.config.replay)))
        steering.check(list(module.objective.named_losses), len(data.styles.declared_weights))
        return steering

    def _create_writer(self, data: TransferData, prints: bool) -> FilmWriter | ResultWriter:
        output, depth = self.config.output, self.config.depth
        if data.film is None:
            return ResultWriter(output, prints, depth)
        if depth != 8:
            raise InputError(f"Expected `depth` to be 8 for a film, but got {depth}: remove --depth.")
        return FilmWriter(data, output, prints)

    def set_threads(self, checkpoint: Mapping[str, Any] | None) -> str | None:
        """Sets the number of threads of a run on a CPU, in this process and in the configuration.

        Args:
            checkpoint: the checkpoint that the run resumes from.

        Returns:
            A sentence for the user, or None.
        """
        if not paints_on_cpu(str(self.config.trainer.accelerator)):
            return None
        stored = None if checkpoint is None else read_threads(checkpoint)
        options = self.config.trainer
        processes = count_processes(str(options.accelerator), options.devices)
        choice = choose_threads(self.config.threads, stored, checkpoint is not None, processes)
        torch.set_num_threads(choice.number)
        self.config.threads = choice.number
        return choice.message

    def build_parts(self, replaced: dict[str, Any] | None = None) -> tuple[StyleTransfer, TransferData]:
        """Creates the module and the data module; see :meth:`build`."""
        # Components that draw random numbers when they are created follow the seed.
        seed_everything(self.config.seed_everything, workers=True, verbose=False)
        # The parsed configuration stays as it is: a study builds several runs from one.
        config = self.config.clone()
        for name, value in (replaced or {}).items():
            config.model[name] = value
        self.config_init = self.parser.instantiate_classes(config)
        return self.config_init.model, self.config_init.data


def _check_seed(seed: bool | int | None) -> None:
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise InputError(f"Expected `seed_everything` to be from 0 to {MAX_SEED}, but got {seed}.")
