"""The `distill` command: trains the weights of SlimVGG19, or measures a weights file."""

import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from nst_lightning.backbones.slim import SlimVGG19
from nst_lightning.cli.parser import Parser
from nst_lightning.distill.distillation import Distillation
from nst_lightning.distill.export import export_student
from nst_lightning.distill.fidelity import format_fidelity, measure_fidelity
from nst_lightning.distill.photograph_data import Photographs
from nst_lightning.distill.teachers import DISTILLED_LAYERS, Teachers
from nst_lightning.images.atomic import check_output_path
from nst_lightning.training.console import quiet_lightning

DISTILL_USAGE = """\
python -m nst_lightning distill --config FILE --model.vgg FILE --data.folders "[FOLDER, ...]" [--KEY VALUE]
       python -m nst_lightning distill measure --help"""

DISTILL_DESCRIPTION = "Trains the weights of SlimVGG19 from those of VGG-19 and folders of photographs."

MEASURE_DESCRIPTION = "Prints how close a weights file is to its teachers, on validation photographs."

# Defaults of Lightning's Trainer in this command.
DISTILL_TRAINER_DEFAULTS: dict[str, Any] = {
    "devices": 1,
    # `Photographs` returns other crops in each epoch.
    "reload_dataloaders_every_n_epochs": 1,
    "enable_model_summary": False,
    "log_every_n_steps": 10,
}


class DistillationCLI(LightningCLI):
    """LightningCLI configured for the distillation: two more options, and arguments other than `sys.argv`."""

    model: Distillation
    datamodule: Photographs

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the checkpoint to resume from and the file to write."""
        parser.add_argument("--ckpt_path", type=str | None, help="checkpoint to resume from, or last")
        parser.add_argument("--output", type=str, help="the .safetensors file to write")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses `args`; Lightning's own method would warn if `sys.argv` has arguments too."""
        assert isinstance(args, list)
        self.config = parser.parse_args(args)


def main(args: list[str] | None = None) -> int:
    """Runs `distill` or `distill measure` and returns the exit status.

    Args:
        args: command line after `distill`; by default that of the process.
    """
    args = sys.argv[1:] if args is None else args
    return run_measurement(args[1:]) if args[:1] == ["measure"] else run_distillation(args)


def run_distillation(args: list[str]) -> int:
    """Trains a student, writes its weights, prints their fidelity, and returns the exit status.

    Args:
        args: command line after `distill`.
    """
    with quiet_lightning():
        cli = DistillationCLI(
            Distillation,
            Photographs,
            run=False,
            args=args,
            trainer_defaults=DISTILL_TRAINER_DEFAULTS,
            save_config_kwargs={"overwrite": True},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={
                "prog": "python -m nst_lightning distill",
                "usage": DISTILL_USAGE,
                "description": DISTILL_DESCRIPTION,
            },
        )
        output = check_output_path(Path(cli.config.output))
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=cli.config.ckpt_path)
    options = cli.config.model
    metadata = {
        "network": "SlimVGG19 of nst_lightning, distilled from VGG-19",
        "teachers": ", ".join(Path(name).name for name in (options.vgg, options.compressed) if name),
        "widths": ", ".join(str(width) for width in options.widths),
    }
    model = cli.model.cpu()
    export_student(model.student, model.teachers, cli.datamodule.first_crops(), output, metadata)
    print(report_fidelity(str(output), model.teachers, cli.datamodule))
    return 0


def run_measurement(args: list[str]) -> int:
    """Prints how close a weights file is to its teachers and returns the exit status.

    Args:
        args: command line after `distill measure`.
    """
    parser = Parser(prog="python -m nst_lightning distill measure", description=MEASURE_DESCRIPTION)
    parser.add_argument("--weights", type=str | None, help="file written by distill; by default the packaged one")
    parser.add_argument("--vgg", type=str, required=True, help="file of VGG-19, or of its first layers")
    parser.add_argument("--compressed", type=str | None, help="file of the compressed VGG-19, for the other layers")
    parser.add_class_arguments(Photographs, "data")
    options = parser.parse_args(args)
    photographs = parser.instantiate_classes(options).data
    photographs.setup("fit")
    print(report_fidelity(options.weights, Teachers(options.vgg, options.compressed), photographs))
    return 0


def report_fidelity(weights: str | None, teachers: Teachers, photographs: Photographs) -> str:
    """Measures a weights file and returns its table (see :func:`nst_lightning.distill.fidelity.format_fidelity`).

    Args:
        weights: path of the file; None is the packaged one.
        teachers: the networks to compare with.
        photographs: training and validation photographs, already set up.
    """
    thin = SlimVGG19(weights)
    thin.build(DISTILLED_LAYERS)
    fidelity = measure_fidelity(thin, teachers, photographs.first_crops(), photographs.val_dataloader())
    return format_fidelity(fidelity)
