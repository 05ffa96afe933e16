"""Features of an image by layer name; some are linear readouts of the computed values."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones.ops.gram_error import ChannelMap, gram_squared_error
from nst_lightning.backbones.position_mask import Partition, PositionMask
from nst_lightning.functional.boxes import Box
from nst_lightning.functional.gram import PositionWeights, gram_matrix, moments, pull_moments
from nst_lightning.functional.resampling import resample
from nst_lightning.functional.sampling import sample_bilinear

# The image itself is among its features under this name.
IMAGE = "image"


@dataclass(frozen=True)
class Readout:
    """A linear map from the channels that a thin network computes to the channels of the layer that it replaces.

    Attributes:
        affine: ``[[W, b], [0, 1]]`` of ``W x + b``, ``(outputs + 1, channels + 1)``, float32 or float64.
    """

    affine: Tensor

    @classmethod
    def from_parts(cls, weight: Tensor, bias: Tensor) -> "Readout":
        """Builds the map of ``W``, ``(outputs, channels)``, and ``b``, ``(outputs,)``."""
        upper = torch.cat([weight, bias[:, None]], 1)
        return cls(torch.cat([upper, torch.eye(upper.shape[1]).to(upper)[-1:]]))

    def features(self, value: Tensor) -> Tensor:
        """Maps every position of ``(batch, channels, height, width)``, in its data type."""
        upper = self.affine[:-1].to(value.dtype)
        return functional.conv2d(value, upper[:, :-1, None, None], upper[:, -1])

    def vectors(self, rows: Tensor) -> Tensor:
        """Maps vectors, ``(batch, count, channels)``, in their data type."""
        upper = self.affine[:-1].to(rows.dtype)
        return functional.linear(rows, upper[:, :-1], upper[:, -1])

    @property
    def gram_factor(self) -> Tensor:
        """``L`` such that ``L M L^T`` is the Gram matrix of :meth:`features`, with ``M`` the moments of the value."""
        return self.affine[:-1] / math.sqrt(len(self.affine) - 1)

    def gram_matrix(self, value: Tensor, weights: PositionWeights | None = None) -> Tensor:
        """Computes the Gram matrix of :meth:`features` without computing the features.

        Args:
            value: ``(batch, channels, height, width)``, times the roots of the weights if there are any.
            weights: of the positions; equal by default.
        """
        return map_moments(moments(value, weights, is_rooted=True), self.gram_factor)

    def moments(self, value: Tensor, weights: PositionWeights | None = None) -> Tensor:
        """Computes the moments of :meth:`features` without computing the features; see :meth:`gram_matrix`."""
        return map_moments(moments(value, weights, is_rooted=True), self.affine)

    def gram_map(self, metric: Tensor | None = None) -> ChannelMap:
        """Returns the map for :meth:`Features.gram_error`, optionally followed by a metric.

        Args:
            metric: multiplied to both sides of the Gram matrix, ``(1 or batch, outputs, outputs)``.
        """
        factor = self.gram_factor
        with torch.autocast(factor.device.type, enabled=False):
            factor = factor[None] if metric is None else metric @ factor.to(metric.dtype)
        return ChannelMap(factor[..., :-1].contiguous(), factor[..., -1:].contiguous())


def map_moments(matrix: Tensor, factor: Tensor) -> Tensor:
    """Computes ``V M V^T``: the moments of channels that are mapped by ``V``.

    Args:
        matrix: ``M``, symmetric, ``(batch, n, n)``.
        factor: ``V``, ``(m, n)``.
    """
    factor = factor.to(matrix.dtype)
    with torch.autocast(matrix.device.type, enabled=False):
        return functional.linear(functional.linear(matrix, factor).mT, factor)


class Features(Mapping[str, Tensor]):
    """Features by layer name, ``(batch, channels, height, width)`` each.

    A readout is applied when its layer is requested; statistics of readouts are computed without applying them.

    Features may be restricted to a part of the image (:meth:`within`). Everything except :meth:`whole` then concerns
    the positions of that part, each with its weight.

    Args:
        values: what a network computed, by layer name.
        readouts: readouts of some of the layers.
        mask: the part of the image; all of it by default. Requires a batch of one.
        is_periodic: whether the picture is a tile, which repeats beyond its edges.
    """

    def __init__(
        self,
        values: Mapping[str, Tensor],
        readouts: Mapping[str, Readout] | None = None,
        mask: PositionMask | None = None,
        is_periodic: bool = False,
    ) -> None:
        self._values = values
        self._readouts = readouts or {}
        self.mask = mask
        self.is_periodic = is_periodic
        # The common selection of several parts, and the number of this part; see `split`.
        self._selection: tuple[_Selection, int] | None = None

    def _with_values(self, values: Mapping[str, Tensor]) -> "Features":
        """Returns other values of the same picture."""
        return Features(values, self._readouts, self.mask, self.is_periodic)

    def as_periodic(self) -> "Features":
        """Returns the same features as those of a tile."""
        return Features(self._values, self._readouts, self.mask, is_periodic=True)

    def with_layer(self, name: str, value: Tensor) -> "Features":
        """Returns these features and one more."""
        return self._with_values({name: value, **self._values})

    def without(self, layers: Collection[str]) -> "Features":
        """Returns these features without some layers."""
        result = self._with_values({layer: value for layer, value in self._values.items() if layer not in layers})
        result._selection = self._selection
        return result

    def renamed(self, rename: Callable[[str], str]) -> "Features":
        """Returns these features under other names."""
        values = {rename(layer): value for layer, value in self._values.items()}
        readouts = {rename(layer): readout for layer, readout in self._readouts.items()}
        return Features(values, readouts, self.mask, self.is_periodic)

    @classmethod
    def join(cls, parts: "Sequence[Features]") -> "Features":
        """Joins features of different layers of one image."""
        values = {layer: value for part in parts for layer, value in part._values.items()}
        readouts = {layer: readout for part in parts for layer, readout in part._readouts.items()}
        return cls(values, readouts, parts[0].mask, parts[0].is_periodic) if parts else cls(values)

    def within(self, mask: PositionMask | None) -> "Features":
        """Returns the features of a part of the image, in addition to the restriction that these features have.

        Args:
            mask: the part; None for all of it. It must overlap with the present restriction.
        """
        if mask is None:
            return self
        if self.mask is not None:
            product = self.mask.times(mask)
            assert product is not None, "both parts must overlap"
            mask = product
        return Features(self._values, self._readouts, mask, self.is_periodic)

    def at_positions(self, mask: Tensor) -> "Features":
        """Returns the features of those positions that lie in a part of the picture, all with the same weight.

        Args:
            mask: share of each part of the picture that is selected, ``(1, 1, any, any)`` in [0, 1], not 0 everywhere.

        Returns:
            Features of one picture, ``(1, channels, positions, 1)`` by layer. A position is kept if at least half of
            its part of the picture is selected. If no position is, those with the largest selected share are kept.
        """
        values = {}
        for layer, value in self._values.items():
            size = (value.shape[-2], value.shape[-1])
            share = functional.interpolate(mask.float(), size=size, mode="bilinear", antialias=True)
            if self.mask is not None:
                value, share = self.mask.select(value), self.mask.select(share)
            share = share.flatten()
            selected = share >= min(0.5, float(share.max()))
            values[layer] = value.flatten(2)[..., selected][..., None]
        return Features(values, self._readouts)

    def map_values(self, change: Callable[[str, Tensor], Tensor]) -> "Features":
        """Returns features with other values: those that a function returns for each layer and its value."""
        return self._with_values({layer: change(layer, value) for layer, value in self._values.items()})

    def select(self, number: int) -> "Features":
        """Returns the features of one picture of the batch."""
        return self._with_values({layer: value[number : number + 1] for layer, value in self._values.items()})

    def size(self, layer: str) -> tuple[int, int]:
        """Returns height and width of the whole map of a layer."""
        height, width = self._values[layer].shape[-2:]
        return height, width

    def whole(self, layer: str) -> Tensor:
        """Returns the whole map of a layer, ``(batch, channels, height, width)``, whatever the restriction."""
        return self._read(layer, self._values[layer])

    def zero(self, layer: str) -> Tensor:
        """Returns 0 with a gradient of 0 for a layer, in float32 or float64: the distance of something left out."""
        nothing = self._values[layer][..., :0]
        return nothing.sum() if nothing.dtype == torch.float64 else nothing.float().sum()

    def weights(self, layer: str) -> PositionWeights | None:
        """Returns the weights of the positions of a layer, in the order of ``features[layer]``; None if all are 1."""
        return self.weights_at(*self.size(layer))

    def weights_at(self, height: int, width: int) -> PositionWeights | None:
        """Returns the weights of the positions of a feature map of any size; see :meth:`weights`."""
        return None if self.mask is None else self.mask.weights((height, width))

    def place(self, positions: Tensor) -> Tensor:
        """Moves evenly spread positions into the part of the image; see :meth:`PositionMask.place`."""
        return positions if self.mask is None else self.mask.place(positions)

    def gram_matrix(self, layer: str) -> Tensor:
        """Computes the Gram matrix of a layer, ``(batch, channels, channels)``."""
        value, weights = self._positions(layer, is_rooted=True), self.weights(layer)
        readout = self._readouts.get(layer)
        return gram_matrix(value, weights, True) if readout is None else readout.gram_matrix(value, weights)

    def moments(self, layer: str) -> Tensor:
        """Computes the moments of a layer; see :func:`nst_lightning.functional.gram.moments`."""
        value, weights = self._positions(layer, is_rooted=True), self.weights(layer)
        readout = self._readouts.get(layer)
        return moments(value, weights, True) if readout is None else readout.moments(value, weights)

    def value_moments(self, layer: str, with_means: bool = True) -> Tensor:
        """Computes the moments of what the network computed for a layer, before its readout; see :meth:`moments`.

        Args:
            layer: name of the layer.
            with_means: see :func:`nst_lightning.functional.gram.moments`.
        """
        return moments(self._positions(layer, is_rooted=True), self.weights(layer), True, with_means)

    def pull(self, layer: str, slope: Tensor, box: Box | None = None, with_means: bool = True) -> Tensor:
        """Returns 0 with the gradient of a function of :meth:`value_moments`.

        Args:
            layer: name of the layer.
            slope: gradient of the function in the moments, divided by the number of positions.
            box: positions that count, of a whole map; all by default.
            with_means: see :func:`nst_lightning.functional.gram.pull_moments`.
        """
        return pull_moments(self._positions(layer, is_rooted=True), slope, box, self.weights(layer), with_means)

    def count(self, layer: str) -> float:
        """Returns the number of positions of a layer, each counted by its weight."""
        weights, (height, width) = self.weights(layer), self.size(layer)
        return height * width if weights is None else weights.total

    def gram_error(
        self, layer: str, target: Tensor, channel_map: ChannelMap | None = None, weight: float = 1.0
    ) -> Tensor:
        """Computes the weighted mean squared error of a layer's Gram matrix; a scalar.

        The plain implementation is ``weight * mse_loss(gram_matrix(layer), target)``.

        Args:
            layer: name of the layer.
            target: what the mapped Gram matrix is compared with, ``(1 or batch, n, n)``.
            channel_map: map of the values that the network computes; required for a layer with a readout.
            weight: a factor.
        """
        value = self._positions(layer, is_rooted=True)
        return gram_squared_error(value, target, channel_map, self.weights(layer), weight, is_rooted=True)

    def resampled(self, layer: str, height: int, width: int) -> Tensor:
        """Returns the features of a layer at another size.

        Values are averaged where the map shrinks and interpolated linearly where it grows.

        Args:
            layer: name of the layer.
            height: number of rows.
            width: number of columns.

        Returns:
            ``(batch, channels, height, width)``, or ``(1, channels, positions, 1)`` of a part of the image.
        """
        if self._selection is not None:
            selection, number = self._selection
            value = selection.get(layer, size=(height, width))[number]
        else:
            value = resample(self._values[layer], height, width, self.is_periodic)
            value = value if self.mask is None else self.mask.select(value)
        # A readout is affine, so it may follow the averaging, where there are fewer positions.
        return self._read(layer, value)

    def sample(self, layer: str, positions: Tensor) -> Tensor:
        """Reads the vectors of a layer at positions; a readout is applied to these vectors only.

        Args:
            layer: name of the layer.
            positions: evenly spread, ``(count, 2)``; see :func:`nst_lightning.functional.sampling.draw_positions`. They
                are moved into the part of the image.

        Returns:
            ``(batch, count, channels)``, in float32 or float64.
        """
        value = self._values[layer]
        with torch.autocast(value.device.type, enabled=False):
            rows = sample_bilinear(value, self.place(positions), self.is_periodic)
            return self._readouts[layer].vectors(rows) if layer in self._readouts else rows

    def __getitem__(self, layer: str) -> Tensor:
        return self._read(layer, self._positions(layer))

    def __contains__(self, layer: object) -> bool:
        return layer in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def split(self, partition: Partition) -> "list[Features]":
        """Returns the features of several parts of the image, whose positions are selected together.

        Args:
            partition: the parts.
        """
        if self.mask is not None:
            return [self.within(mask) for mask in partition.masks]
        selection = _Selection(self._values, partition, self.is_periodic)
        parts = []
        for number, mask in enumerate(partition.masks):
            parts.append(self.within(mask))
            parts[-1]._selection = selection, number
        return parts

    def _positions(self, layer: str, is_rooted: bool = False) -> Tensor:
        """Returns what the network computed at the positions that count, perhaps times the roots of their weights."""
        if self.mask is None:
            return self._values[layer]
        if self._selection is not None:
            selection, number = self._selection
            return selection.get(layer, is_rooted=is_rooted)[number]
        return self.mask.select(self._values[layer], is_rooted)

    def _read(self, layer: str, value: Tensor) -> Tensor:
        return self._readouts[layer].features(value) if layer in self._readouts else value


class _Selection:
    """Selects the positions of several parts at a layer once, at the first request.

    Args:
        values: what a network computed, by layer name.
        partition: the parts.
        is_periodic: see :class:`Features`.
    """

    def __init__(self, values: Mapping[str, Tensor], partition: Partition, is_periodic: bool) -> None:
        self.partition = partition
        self.is_periodic = is_periodic
        self._values = values
        self._known: dict[tuple[str, bool, tuple[int, int] | None], list[Tensor]] = {}

    def get(self, layer: str, is_rooted: bool = False, size: tuple[int, int] | None = None) -> list[Tensor]:
        """Returns the features of each part; see :meth:`Partition.select`.

        Args:
            layer: name of the layer.
            is_rooted: whether they are multiplied by the roots of their weights.
            size: height and width to which the layer is resampled before; its own by default.
        """
        key = layer, is_rooted, size
        if key not in self._known:
            value = self._values[layer]
            value = value if size is None else resample(value, *size, self.is_periodic)
            self._known[key] = self.partition.select(value, is_rooted)
        return self._known[key]


def as_features(features: Mapping[str, Tensor]) -> Features:
    """Returns features as they are, or wraps plain tensors by layer name."""
    return features if isinstance(features, Features) else Features(features)
