"""Evaluation of a block network with activation checkpointing."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor

from nst_lightning.backbones.base import repeat_autocast
from nst_lightning.backbones.blocks import BlockNetwork, LayerPosition, Pass
from nst_lightning.backbones.features import Features
from nst_lightning.backbones.ops.checkpointing import Measurements, checkpoint
from nst_lightning.backbones.ops.frozen_layers import measure_and_max_pool


def measure_checkpointed(
    network: BlockNetwork, image: Tensor, layers: Iterable[str], measure: Callable[[Features], Measurements]
) -> Measurements:
    """Computes measurements of one layer after another and keeps only the input of each block for the backward pass.

    The measurements belong to the checkpointed block, so that the features of no layer are kept. The plain
    implementation merges ``measure(features)`` over :meth:`Backbone.stream`.

    Args:
        network: the network.
        image: ``(batch, 3, height, width)``, sRGB in [0, 1].
        layers: names of layers that the network was built for.
        measure: computes differentiable tensors by unique names from the features of one layer.
    """
    names = network.names_by_position(layers)
    positions, autocast = set(names), repeat_autocast(image.device.type)

    def measure_position(position: LayerPosition, value: Tensor) -> Measurements:
        with autocast():
            return measure(network.as_features(dict.fromkeys(names[position], value)))

    is_trained = any(parameter.requires_grad for parameter in network.parameters())
    measurements: Measurements = {}
    value: Tensor | None = network.begin(image).value
    blocks = network.blocks(positions)
    for numbers in blocks:
        assert value is not None
        segment = partial(_compute_segment, network, numbers, numbers is not blocks[-1], positions, measure_position)
        # A second pass computes gradients only for the image, so a trained network keeps its values.
        keeps_all = not torch.is_grad_enabled() or not value.requires_grad or is_trained
        value, more = segment(value) if keeps_all else checkpoint(segment, value)
        measurements |= more
    return measurements


def _compute_segment(
    network: BlockNetwork,
    numbers: range,
    pool: bool,
    positions: set[LayerPosition],
    measure: Callable[[LayerPosition, Tensor], Measurements],
    value: Tensor,
) -> tuple[Tensor | None, Measurements]:
    """Computes a block, its measurements and, if another block follows, the pooled value."""
    current, measurements = Pass(value), Measurements()
    last = (numbers[-1], "conv") if len(numbers) else None
    for position in network.compute_block(current, numbers, positions):
        pools_here = pool and position == last and (numbers[-1], "relu") not in positions
        if pools_here and network.pooling == "max" and current.value.requires_grad:
            pooled, more = measure_and_max_pool(current.value, partial(measure, position))
            return pooled, measurements | more
        measurements |= measure(position, current.value)
    if not pool:
        return None, measurements
    network.pool(current)
    return current.value, measurements
