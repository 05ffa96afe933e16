"""Evaluation of an objective layer by layer."""

from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.losses.base import IMAGE
from nst_lightning.training.objective import Objective, Terms


def evaluate_streamed(objective: Objective, image: Tensor) -> Terms:
    """Computes ``objective(image)`` with the losses of each layer evaluated as soon as the layer is computed.

    autograd runs the operations that were created last first. In the plain order it computes the gradients of all
    losses before it enters the network and holds them all; in this order it computes each when the network needs it.

    Args:
        objective: all of its losses are layerwise.
        image: ``(batch, 3, height, width)`` in [0, 1].
    """
    terms = objective.compare(Features({IMAGE: image}))
    for features in objective.image_backbone.stream(image, objective.layers):
        for name, distances in objective.compare(features).items():
            terms[name] |= distances
    return sort_layers(objective, terms)


def sort_layers(objective: Objective, terms: Terms) -> Terms:
    """Returns the distances of each term in the order of their names, in which they are summed."""
    return {
        name: {layer: terms[name][layer] for layer in loss.distance_names or terms[name]}
        for name, loss in objective.named_losses.items()
    }
