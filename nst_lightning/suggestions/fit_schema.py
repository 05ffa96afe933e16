"""The JSON Schema of a configuration of `fit`."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, ClassVar

import torch
from jsonargparse import Namespace
from lightning.pytorch.cli import ArgsType, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from nst_lightning import backbones, losses
from nst_lightning.callbacks import ImageAveraging
from nst_lightning.cli.trainer_options import REJECTED_OPTIONS
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.data.style_source import StyleSource
from nst_lightning.optim import CompactLBFGS
from nst_lightning.samples.gallery import CLIPS, CONTENTS, STYLES
from nst_lightning.suggestions.class_schemas import (
    Schema,
    accept_also,
    choose_class,
    class_schema,
    one_or_several,
    read_parser_schema,
    simplify,
)
from nst_lightning.system.precision import PRECISIONS

# Full names of classes of other packages.
_FOREIGN = r"^(?!nst_lightning\.|torch\.optim\.).+\."
# Lightning imports its own callbacks and loggers, so that their short names work too.
_ANY = ".+"

# Options of the Trainer whose classes have arguments of any class of torch, which jsonargparse cannot list.
_OPEN_OPTIONS: dict[str, Schema] = {
    "accelerator": accept_also({"type": "string", "default": "auto"}, ["auto", "cpu", "gpu", "mps"]),
    "strategy": {"enum": ["auto", "ddp"], "default": "auto"},
    "plugins": {"type": ["object", "array", "string", "null"]},
    "profiler": accept_also({"type": ["object", "string", "null"]}, ["simple", "advanced", "pytorch"]),
}


class _OptionsOfFit(TransferCLI):
    """The parser of `fit` without the options of the Trainer that this module describes itself."""

    skipped_options: ClassVar[dict[str, set[str]]] = {
        # jsonargparse fails at subclasses that cannot be imported, such as those that Lightning makes of optimizers.
        "model": {"backbone", "losses", "optimizer"},
        "trainer": {*REJECTED_OPTIONS, *_OPEN_OPTIONS, "callbacks", "logger"},
    }

    def setup_parser(self, *arguments: Any) -> None:
        """Builds a parser of its own."""
        LightningCLI.setup_parser(self, *arguments)

    def parse_arguments(self, parser: Any, args: ArgsType) -> None:
        """Parses nothing, and asks for no seed."""
        self.config = Namespace(seed_everything=False)  # type: ignore[no-untyped-call]


def describe_fit() -> Schema:
    """Returns the JSON Schema of a configuration of `fit`, complete or a part of one."""
    schema: Schema = simplify(read_parser_schema(_OptionsOfFit([]).parser))
    schema["$defs"] = {
        "Backbone": _describe_classes(backbones, ("Backbone",)),
        "Loss": _describe_classes(losses, ("Loss", "FeatureLoss")),
        "Optimizer": _describe_optimizers(),
        "Flow": schema["$defs"]["Flow"],
        "Callback": _describe_callbacks(),
        "Logger": _describe_loggers(),
        "Style": class_schema(StyleSource),
    }
    groups = schema["properties"]
    data, model, trainer = (groups[name]["properties"] for name in ("data", "model", "trainer"))
    contents, styles = ([f"sample:{name}" for name in names] for names in (CONTENTS + CLIPS, STYLES))
    data["content"] = accept_also(data["content"], [*contents, "start", "stored"])
    style: Schema = {"anyOf": [accept_also({"type": "string"}, [*styles, "stored"]), {"$ref": "#/$defs/Style"}]}
    data["style"] = one_or_several(style) | {"description": data["style"]["description"]}
    model["initialization"] = accept_also(model["initialization"], ["content", "style", "noise", "gaussian"])
    references: dict[str, Schema] = {name: {"$ref": f"#/$defs/{name}"} for name in schema["$defs"]}
    model["backbone"] = references["Backbone"] | {"description": "frozen network whose features the losses compare"}
    model["losses"] = {
        "type": "object",
        "additionalProperties": references["Loss"],
        "description": "terms of the objective by name; a file that sets them replaces those of the files before it",
    }
    model["optimizer"] = references["Optimizer"] | {"description": "changes the image; L-BFGS by default"}
    trainer["precision"] = {"enum": [*PRECISIONS, None], "description": trainer["precision"]["description"]}
    trainer |= _OPEN_OPTIONS
    trainer["callbacks"] = one_or_several(references["Callback"])
    trainer["logger"] = {"anyOf": [{"type": "boolean"}, *one_or_several(references["Logger"])["anyOf"]]}
    return schema


def _describe_classes(folder: ModuleType, bases: Sequence[str]) -> Schema:
    """Describes the public classes of a folder, except for its base classes."""
    names = [name for name in folder.__all__ if name not in bases]
    return choose_class({f"nst_lightning.{name}": class_schema(getattr(folder, name)) for name in names}, _FOREIGN)


def _describe_callbacks() -> Schema:
    # A run creates the other callbacks of the package itself.
    return choose_class({"nst_lightning.callbacks.ImageAveraging": class_schema(ImageAveraging)}, _ANY)


def _describe_optimizers() -> Schema:
    kinds = {f"torch.optim.{name}": kind for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    del kinds["torch.optim.Optimizer"]
    kinds["nst_lightning.optim.CompactLBFGS"] = CompactLBFGS
    # The default is a function.
    others = rf"{_FOREIGN}|^nst_lightning\..+\.[a-z_]+$"
    return choose_class({path: class_schema(kind) for path, kind in kinds.items()}, others)


def _describe_loggers() -> Schema:
    kinds = (TensorBoardLogger, CSVLogger)
    return choose_class({f"lightning.pytorch.loggers.{kind.__name__}": class_schema(kind) for kind in kinds}, _ANY)
