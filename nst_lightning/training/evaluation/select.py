"""The choice of how an objective is evaluated."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from nst_lightning.backbones.blocks import BlockNetwork
from nst_lightning.backbones.multi_scale import MultiScale
from nst_lightning.losses.base import IMAGE
from nst_lightning.training.evaluation.checkpointed import evaluate_checkpointed
from nst_lightning.training.evaluation.streamed import evaluate_streamed
from nst_lightning.training.evaluation.tiled import evaluate_tiled
from nst_lightning.training.objective import Objective, Terms

# Computes the terms of an objective; the plain one is the objective itself.
Evaluate = Callable[[Tensor], Terms]


def select_evaluation(objective: Objective) -> Evaluate:
    """Returns the evaluation of an objective that needs the least memory in the time that the options permit.

    If a loss needs several layers at a time, the objective is called itself.
    """
    # First, so that a network that cannot evaluate a tile is refused before the run has a folder.
    backbone = objective.image_backbone
    layerwise = all(loss.layerwise or set(loss.layers) <= {IMAGE} for loss in objective.named_losses.values())
    if objective.tile is not None:
        return partial(evaluate_tiled, objective, objective.tile)
    if not objective.layers or not layerwise:
        # Not the objective itself: a module that keeps it would register it a second time.
        return objective.__call__
    network = backbone.network if isinstance(backbone, MultiScale) else backbone
    if isinstance(network, BlockNetwork) and network.checkpointing:
        return partial(evaluate_checkpointed, objective, network)
    return partial(evaluate_streamed, objective)
