"""Fidelity of a thin network: how close its features are to its teachers', on validation photographs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nst_lightning.backbones.base import Backbone
from nst_lightning.backbones.vgg import VGG19
from nst_lightning.distill.calibration import fit_readout, measure_unexplained_share
from nst_lightning.distill.regression import to_rows
from nst_lightning.distill.teachers import DISTILLED_LAYERS, Teachers
from nst_lightning.functional.gram import gram_matrix
from nst_lightning.functional.pixels import mean_squared_error

# Positions of a layer at which a readout is fitted or evaluated.
READOUT_POSITIONS = 40_000


@dataclass(frozen=True)
class LayerFidelity:
    """How close one layer of a thin network is to the teacher's.

    Attributes:
        unexplained: share of the variance of the teacher's features, before the ReLU, that a linear readout of the
            thin features leaves unexplained. The readout is fitted on training photographs and evaluated on validation
            photographs.
        content: mean squared error between the features of two photographs, divided by the same error of the
            teacher's features; the geometric mean over pairs.
        gram: the same ratio for Gram matrices.
    """

    unexplained: float
    content: float
    gram: float


@torch.no_grad()
def collect_features(network: Backbone | Teachers, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """Computes the features of several batches and concatenates them.

    Args:
        network: a backbone that is built up to conv5_1, or the teachers.
        batches: pictures ``(batch, 3, height, width)``, all of the same size.

    Returns:
        For each of :data:`DISTILLED_LAYERS` the features ``(pictures, channels, height, width)``.
    """
    outputs = [
        network(batch) if isinstance(network, Teachers) else network(batch, DISTILLED_LAYERS) for batch in batches
    ]
    return {layer: torch.cat([features[layer] for features in outputs]) for layer in DISTILLED_LAYERS}


def measure_fidelity(
    thin: Backbone, teachers: Teachers, training: Iterable[Tensor], validation: Iterable[Tensor]
) -> dict[str, LayerFidelity]:
    """Measures how close every layer of a thin network is to its teachers.

    Args:
        thin: a network that is built up to conv5_1.
        teachers: the networks it was distilled from.
        training: batches of pictures ``(batch, 3, height, width)`` at which readouts are fitted.
        validation: batches of other pictures, at which everything is measured.

    Returns:
        The fidelity by layer name.
    """
    training, validation = list(training), list(validation)
    thin_training, teacher_training = collect_features(thin, training), collect_features(teachers, training)
    thin_validation, teacher_validation = collect_features(thin, validation), collect_features(teachers, validation)
    fidelity = {}
    for layer in DISTILLED_LAYERS:
        fitting = (to_rows(features[layer], READOUT_POSITIONS) for features in (thin_training, teacher_training))
        readout = fit_readout(*fitting)
        features, target = thin_validation[layer], teacher_validation[layer]
        content, gram = distance_ratios(
            features, target, thin.channel_ratio(layer), teacher_channel_ratio(layer, target)
        )
        evaluation = (to_rows(value, READOUT_POSITIONS) for value in (features, target))
        fidelity[layer] = LayerFidelity(measure_unexplained_share(readout, *evaluation), content, gram)
    return fidelity


def teacher_channel_ratio(layer: str, features: Tensor) -> float:
    """Returns the channels of VGG-19 per channel of the teacher: 1 unless a thinner network stands in for VGG-19.

    Args:
        layer: a name from :data:`DISTILLED_LAYERS`.
        features: the teacher's features, ``(batch, channels, height, width)``.
    """
    return VGG19(weights="random").width(layer) / features.shape[1]


def distance_ratios(thin: Tensor, teacher: Tensor, thin_ratio: float, teacher_ratio: float) -> tuple[float, float]:
    """Divides content and Gram distances between thin features by those between the teacher's.

    Args:
        thin: ``(batch, channels, height, width)``; each picture is compared with the previous one.
        teacher: the teacher's features of the same pictures.
        thin_ratio: channels of VGG-19 per channel of ``thin``.
        teacher_ratio: channels of VGG-19 per channel of ``teacher``.

    Returns:
        The ratios of content and of Gram distances, each the geometric mean over pairs of pictures.
    """
    content, gram = pair_distances(thin, thin_ratio)
    teacher_content, teacher_gram = pair_distances(teacher, teacher_ratio)
    return float((content / teacher_content).log().mean().exp()), float((gram / teacher_gram).log().mean().exp())


def pair_distances(features: Tensor, channel_ratio: float) -> tuple[Tensor, Tensor]:
    """Computes content and Gram distances between neighboring pictures of a batch, and between the first and the last.

    Args:
        features: ``(batch, channels, height, width)``.
        channel_ratio: channels of VGG-19 per channel of ``features``.

    Returns:
        Mean squared errors of the features and of their Gram matrices, ``(batch,)`` each.
    """
    grams = gram_matrix(features) / channel_ratio
    pairs = range(len(features))
    content = [mean_squared_error(features[n], features[n - 1]) for n in pairs]
    gram = [mean_squared_error(grams[n], grams[n - 1]) for n in pairs]
    return torch.stack(content), torch.stack(gram)


def format_fidelity(fidelity: Mapping[str, LayerFidelity]) -> str:
    """Formats the fidelity of every layer as lines of text, with the mean over conv_1 to conv_8.

    Args:
        fidelity: by layer name, as :func:`measure_fidelity` returns it.
    """
    lines = ["layer    unexplained  content  gram"]
    for layer, value in fidelity.items():
        lines.append(f"{layer:<8} {value.unexplained:>11.3f} {value.content:>8.2f} {value.gram:>5.2f}")
    mean = sum(fidelity[layer].unexplained for layer in DISTILLED_LAYERS[:8]) / 8
    return "\n".join([*lines, f"{'mean 1-8':<8} {mean:>11.3f}"])
