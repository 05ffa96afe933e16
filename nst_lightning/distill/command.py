"""The `distill` command: makes the weights of SlimVGG19, or measures a file of them."""

import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from nst_lightning.backbones.slim import SlimVGG19
from nst_lightning.cli.parser import Parser
from nst_lightning.distill.data import Photographs
from nst_lightning.distill.export import export
from nst_lightning.distill.measure import fidelity, table
from nst_lightning.distill.module import Distillation
from nst_lightning.distill.teachers import LAYERS, Teachers
from nst_lightning.training.console import quiet_lightning

USAGE = """python -m nst_lightning distill --config FILE --model.vgg FILE --data.folders "[FOLDER, ...]" [--KEY VALUE]
       python -m nst_lightning distill measure --help"""

DESCRIPTION = "Makes the weights of SlimVGG19 from those of VGG-19 and folders of photographs."

TRAINER_DEFAULTS: dict[str, Any] = {
    "devices": 1,
    "reload_dataloaders_every_n_epochs": 1,
    "enable_model_summary": False,
    "log_every_n_steps": 10,
}


class DistillationCLI(LightningCLI):
    """`distill`: trains a thin VGG-19 as a YAML file and the shell's overrides say."""

    model: Distillation
    datamodule: Photographs

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Where to go on from, and where the weights go."""
        parser.add_argument("--ckpt_path", type=str | None, help="checkpoint to go on from, or last")
        parser.add_argument("--output", type=str, help="the .safetensors file to write")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses these arguments, whatever stands in `sys.argv`."""
        assert isinstance(args, list)
        self.config = parser.parse_args(args)


def main(args: list[str] | None = None) -> int:
    """Runs `distill` and returns the exit status.

    Args:
        args: what stands on the command line after `distill`; `sys.argv` unless given.
    """
    args = sys.argv[1:] if args is None else args
    if args[:1] == ["measure"]:
        return measure(args[1:])
    return distill(args)


def distill(args: list[str]) -> int:
    """Trains, writes the weights, and prints how near they are."""
    with quiet_lightning():
        cli = DistillationCLI(
            Distillation,
            Photographs,
            run=False,
            args=args,
            trainer_defaults=TRAINER_DEFAULTS,
            save_config_kwargs={"overwrite": True},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={"prog": "python -m nst_lightning distill", "usage": USAGE, "description": DESCRIPTION},
        )
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=cli.config.ckpt_path)
    output = Path(cli.config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    model = cli.model.cpu()
    export(model.student, model.teachers, cli.datamodule.first_crops(), output, metadata(cli.config))
    print(measured(output, model.teachers, cli.datamodule))
    return 0


def metadata(config: Any) -> dict[str, str]:
    """What a weights file says about itself."""
    return {
        "network": "SlimVGG19 of nst_lightning, distilled from VGG-19",
        "teachers": ", ".join(Path(name).name for name in (config.model.vgg, config.model.compressed) if name),
        "widths": ", ".join(str(width) for width in config.model.widths),
    }


def measure(args: list[str]) -> int:
    """Prints how near a weights file is to its teachers, on photographs that were kept aside."""
    parser = Parser(
        prog="python -m nst_lightning distill measure",
        description="Prints how near a weights file is to its teachers, on photographs that were kept aside.",
    )
    parser.add_argument("--weights", type=str | None, help="file made by distill; the package's own unless given")
    parser.add_argument("--vgg", type=str, required=True, help="file of VGG-19, or of its first layers")
    parser.add_argument("--compressed", type=str | None, help="file of the compressed VGG-19, for the others")
    parser.add_class_arguments(Photographs, "data")
    options = parser.parse_args(args)
    photographs = parser.instantiate_classes(options).data
    photographs.setup("fit")
    print(measured(options.weights, Teachers(options.vgg, options.compressed), photographs))
    return 0


def measured(weights: str | Path | None, teachers: Teachers, photographs: Photographs) -> str:
    """The table of a weights file; see :func:`nst_lightning.distill.measure.table`."""
    thin = SlimVGG19(None if weights is None else str(weights))
    thin.build(LAYERS)
    return table(fidelity(thin, teachers, photographs.first_crops(), photographs.val_dataloader()))
