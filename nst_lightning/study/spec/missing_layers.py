"""Drops the layers of a configuration that its backbone does not have."""

import importlib

from nst_lightning.backbones import Backbone
from nst_lightning.backbones.multi_scale import split_layer
from nst_lightning.losses.base import IMAGE
from nst_lightning.study.spec.declaration import Options
from nst_lightning.study.spec.resolve import Configuration


def drop_missing_layers(configuration: Configuration) -> list[str]:
    """Drops the layers from all terms that the backbone does not have.

    Args:
        configuration: configuration of `fit`, changed in place.

    Returns:
        A sentence for each changed term.
    """
    backbone = create_backbone(configuration["model"]["backbone"])
    sentences = []
    for term in configuration["model"]["losses"].values():
        layers = term["init_args"].get("layers") or []
        missing = [layer for layer in layers if split_layer(layer)[0] not in (IMAGE, *backbone.layer_names)]
        if missing:
            term["init_args"]["layers"] = [layer for layer in layers if layer not in missing]
            last = [name for name in backbone.layer_names if name.startswith("conv_")][-1]
            sentences.append(f"{type(backbone).__name__} ends at {last}: {', '.join(missing)} left out.")
    return sentences


def create_backbone(description: Options) -> Backbone:
    """Creates a backbone without building its layers; it knows their names.

    Args:
        description: ``class_path`` and, optionally, ``init_args``.
    """
    module, _, name = description["class_path"].rpartition(".")
    backbone: Backbone = getattr(importlib.import_module(module), name)(**description.get("init_args", {}))
    return backbone
