"""Evaluation of an objective with activation checkpointing."""

from functools import partial

from torch import Tensor

from nst_lightning.backbones.blocks import BlockNetwork
from nst_lightning.backbones.checkpointed_blocks import measure_checkpointed
from nst_lightning.backbones.features import Features
from nst_lightning.backbones.multi_scale import group_by_scale, join_layer, shrink
from nst_lightning.backbones.ops.checkpointing import Measurements
from nst_lightning.losses.base import IMAGE
from nst_lightning.training.evaluation.streamed import sort_layers
from nst_lightning.training.objective import Objective, Terms


def evaluate_checkpointed(objective: Objective, network: BlockNetwork, image: Tensor) -> Terms:
    """Computes ``objective(image)`` and keeps only the input of each block for the backward pass.

    The losses of a block are computed again with it, so that no features are kept.

    Args:
        objective: all of its losses are layerwise.
        network: the objective's backbone.
        image: ``(batch, 3, height, width)`` in [0, 1].
    """

    def measure(scale: float, features: Features) -> Measurements:
        terms = objective.compare(features.renamed(partial(join_layer, scale=scale)))
        return {(name, layer): distance for name, layers in terms.items() for layer, distance in layers.items()}

    terms = objective.compare(Features({IMAGE: image}))
    for scale, layers in group_by_scale(objective.layers).items():
        shrunk = shrink(image, scale, objective.tileable)
        if IMAGE in layers:
            for (name, layer), distance in measure(scale, Features({IMAGE: shrunk})).items():
                terms[name][layer] = distance
        names = [layer for layer in layers if layer != IMAGE]
        for (name, layer), distance in measure_checkpointed(network, shrunk, names, partial(measure, scale)).items():
            terms[name][layer] = distance
    return sort_layers(objective, terms)
