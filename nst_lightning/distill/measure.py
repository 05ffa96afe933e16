"""How near a thin network is to its teachers, on photographs that were kept aside."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nst_lightning.backbones.base import Backbone
from nst_lightning.backbones.vgg import VGG19
from nst_lightning.distill.calibration import best_prediction, unexplained
from nst_lightning.distill.teachers import LAYERS, Teachers
from nst_lightning.functional.gram import gram_matrix
from nst_lightning.functional.pixels import mean_squared_error

ROWS = 40_000
"""Positions of a layer at which a read-out is fitted or measured."""


@dataclass(frozen=True)
class Fidelity:
    """How near one layer is.

    Attributes:
        unexplained: share of the variance of the teacher's features, before the rectifier, that a linear read-out of
            the thin features leaves; fitted on photographs to learn from, measured on others.
        content: mean squared error between two photographs' features, over the same of the teacher's; the geometric
            mean over pairs.
        gram: likewise between their Gram matrices.
    """

    unexplained: float
    content: float
    gram: float


def rows(features: Tensor, most: int = ROWS) -> Tensor:
    """Features ``(batch, channels, height, width)`` as ``(positions, channels)``, thinned out evenly."""
    flat = features.permute(0, 2, 3, 1).flatten(0, 2)
    return flat[:: max(1, len(flat) // most)]


@torch.no_grad()
def features_of(network: Backbone | Teachers, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """Features at every one of :data:`LAYERS` of all pictures of the batches."""
    found = [network(batch) if isinstance(network, Teachers) else network(batch, LAYERS) for batch in batches]
    return {layer: torch.cat([features[layer] for features in found]) for layer in LAYERS}


def fidelity(
    thin: Backbone, teachers: Teachers, learned: Iterable[Tensor], aside: Iterable[Tensor]
) -> dict[str, Fidelity]:
    """Measures every layer.

    Args:
        thin: built up to conv5_1.
        teachers: what it was made from.
        learned: batches of pictures ``(batch, 3, height, width)`` at which read-outs are fitted.
        aside: likewise of other photographs, at which everything is measured.
    """
    learned, aside = list(learned), list(aside)
    fitted, known = features_of(thin, learned), features_of(teachers, learned)
    measured, aims = features_of(thin, aside), features_of(teachers, aside)
    return {layer: _fidelity(thin, layer, fitted, known, measured, aims) for layer in LAYERS}


def _fidelity(
    thin: Backbone,
    layer: str,
    fitted: Mapping[str, Tensor],
    known: Mapping[str, Tensor],
    measured: Mapping[str, Tensor],
    aims: Mapping[str, Tensor],
) -> Fidelity:
    read_out = best_prediction(rows(fitted[layer]), rows(known[layer]))
    content, gram = ratios(measured[layer], aims[layer], thin.channel_ratio(layer), teacher_breadth(layer, aims[layer]))
    return Fidelity(unexplained(read_out, rows(measured[layer]), rows(aims[layer])), content, gram)


def teacher_breadth(layer: str, features: Tensor) -> float:
    """Channels of VGG-19 for each of the teacher's: 1 unless a thinner network stands in."""
    return VGG19(weights="random").width(layer) / features.shape[1]


def ratios(thin: Tensor, teacher: Tensor, thin_breadth: float, teacher_breadth: float) -> tuple[float, float]:
    """Content and Gram distances of thin features over the teacher's, the geometric means over pairs of pictures.

    Args:
        thin: ``(batch, channels, height, width)``; each picture makes a pair with the next.
        teacher: the teacher's features of the same pictures.
        thin_breadth: channels of VGG-19 for each of the thin network's.
        teacher_breadth: likewise of the teacher.
    """
    content, gram = pair_distances(thin, thin_breadth)
    teacher_content, teacher_gram = pair_distances(teacher, teacher_breadth)
    return float((content / teacher_content).log().mean().exp()), float((gram / teacher_gram).log().mean().exp())


def pair_distances(features: Tensor, channel_ratio: float) -> tuple[Tensor, Tensor]:
    """Content and Gram distances between each picture and the next, ``(batch,)`` each."""
    grams = gram_matrix(features) / channel_ratio
    pairs = range(len(features))
    content = [mean_squared_error(features[n], features[n - 1]) for n in pairs]
    gram = [mean_squared_error(grams[n], grams[n - 1]) for n in pairs]
    return torch.stack(content), torch.stack(gram)


def table(measured: Mapping[str, Fidelity]) -> str:
    """The numbers of every layer as lines of text, with the mean over conv_1 to conv_8."""
    lines = ["layer    unexplained  content  gram"]
    for layer, found in measured.items():
        lines.append(f"{layer:<8} {found.unexplained:>11.3f} {found.content:>8.2f} {found.gram:>5.2f}")
    mean = sum(measured[layer].unexplained for layer in LAYERS[:8]) / 8
    return "\n".join([*lines, f"{'mean 1-8':<8} {mean:>11.3f}"])
