"""Features of an image by layer name; some are linear readouts of the computed values."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones.ops.gram_error import ChannelMap, gram_squared_error
from nst_lightning.functional.gram import gram_matrix, moments
from nst_lightning.functional.periodic import interpolate_periodic
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

    def gram_matrix(self, value: Tensor) -> Tensor:
        """Computes the Gram matrix of :meth:`features` without computing the features."""
        return _sandwich(moments(value), self.gram_factor)

    def moments(self, value: Tensor) -> Tensor:
        """Computes the moments of :meth:`features` without computing the features."""
        return _sandwich(moments(value), self.affine)

    def gram_map(self, metric: Tensor | None = None) -> ChannelMap:
        """Returns the map for :meth:`Features.gram_error`, optionally followed by a metric.

        Args:
            metric: multiplied to both sides of the Gram matrix, ``(1 or batch, outputs, outputs)``.
        """
        factor = self.gram_factor
        with torch.autocast(factor.device.type, enabled=False):
            factor = factor[None] if metric is None else metric @ factor.to(metric.dtype)
        return ChannelMap(factor[..., :-1].contiguous(), factor[..., -1:].contiguous())


def _sandwich(matrix: Tensor, factor: Tensor) -> Tensor:
    """Computes ``V M V^T`` of a symmetric ``M``."""
    factor = factor.to(matrix.dtype)
    with torch.autocast(matrix.device.type, enabled=False):
        return functional.linear(functional.linear(matrix, factor).mT, factor)


class Features(Mapping[str, Tensor]):
    """Features by layer name, ``(batch, channels, height, width)`` each.

    A readout is applied when its layer is requested; statistics of readouts are computed without applying them.

    Args:
        values: what a network computed, by layer name.
        readouts: readouts of some of the layers.
        is_periodic: whether the picture is a tile, which repeats beyond its edges.
    """

    def __init__(
        self,
        values: Mapping[str, Tensor],
        readouts: Mapping[str, Readout] | None = None,
        is_periodic: bool = False,
    ) -> None:
        self._values = values
        self._readouts = readouts or {}
        self.is_periodic = is_periodic

    def as_periodic(self) -> "Features":
        """Returns the same features as those of a tile."""
        return Features(self._values, self._readouts, is_periodic=True)

    def with_layer(self, name: str, value: Tensor) -> "Features":
        """Returns these features and one more."""
        return Features({name: value, **self._values}, self._readouts)

    def renamed(self, rename: Callable[[str], str]) -> "Features":
        """Returns these features under other names."""
        values = {rename(layer): value for layer, value in self._values.items()}
        return Features(values, {rename(layer): readout for layer, readout in self._readouts.items()})

    @classmethod
    def join(cls, parts: "Sequence[Features]") -> "Features":
        """Joins features of different layers."""
        values = {layer: value for part in parts for layer, value in part._values.items()}
        return cls(values, {layer: readout for part in parts for layer, readout in part._readouts.items()})

    def at_positions(self, mask: Tensor) -> "Features":
        """Returns the features of those positions that lie in a part of the picture.

        Args:
            mask: share of each part of the picture that is selected, ``(1, 1, any, any)`` in [0, 1], not 0 everywhere.

        Returns:
            Features of one picture, ``(1, channels, positions, 1)`` by layer. A position is kept if at least half of
            its part of the picture is selected. If no position is, those with the largest selected share are kept.
        """
        values = {}
        for layer, value in self._values.items():
            size = (value.shape[-2], value.shape[-1])
            share = functional.interpolate(mask.float(), size=size, mode="bilinear", antialias=True).flatten()
            selected = share >= min(0.5, float(share.max()))
            values[layer] = value.flatten(2)[..., selected][..., None]
        return Features(values, self._readouts)

    def select(self, number: int) -> "Features":
        """Returns the features of one picture of the batch."""
        values = {layer: value[number : number + 1] for layer, value in self._values.items()}
        return Features(values, self._readouts)

    def gram_matrix(self, layer: str) -> Tensor:
        """Computes the Gram matrix of a layer, ``(batch, channels, channels)``."""
        value = self._values[layer]
        return self._readouts[layer].gram_matrix(value) if layer in self._readouts else gram_matrix(value)

    def moments(self, layer: str) -> Tensor:
        """Computes the moments of a layer; see :func:`nst_lightning.functional.gram.moments`."""
        value = self._values[layer]
        return self._readouts[layer].moments(value) if layer in self._readouts else moments(value)

    def resampled(self, layer: str, height: int, width: int) -> Tensor:
        """Returns the features of a layer at another size, ``(batch, channels, height, width)``.

        Values are averaged where the map shrinks and interpolated linearly where it grows.

        Args:
            layer: name of the layer.
            height: number of rows.
            width: number of columns.
        """
        value = _resample(self._values[layer], height, width, self.is_periodic)
        # A readout is affine, so it may follow the averaging, where there are fewer positions.
        return self._readouts[layer].features(value) if layer in self._readouts else value

    def sample(self, layer: str, positions: Tensor) -> Tensor:
        """Reads the vectors of a layer at positions; a readout is applied to these vectors only.

        Args:
            layer: name of the layer.
            positions: ``(count, 2)``; see :func:`nst_lightning.functional.sampling.draw_positions`.

        Returns:
            ``(batch, count, channels)``, in float32 or float64.
        """
        value = self._values[layer]
        with torch.autocast(value.device.type, enabled=False):
            rows = sample_bilinear(value, positions, self.is_periodic)
            return self._readouts[layer].vectors(rows) if layer in self._readouts else rows

    def gram_error(
        self,
        layer: str,
        target: Tensor,
        channel_map: ChannelMap | None = None,
        mask: "PositionMask | None" = None,
        weight: float = 1.0,
    ) -> Tensor:
        """Computes the weighted mean squared error of a layer's Gram matrix; a scalar.

        The plain implementation is ``weight * mse_loss(gram_matrix(features[layer]), target)``.

        Args:
            layer: name of the layer.
            target: what the mapped Gram matrix is compared with, ``(1 or batch, n, n)``.
            channel_map: map of the values that the network computes; required for a layer with a readout.
            mask: restricts the Gram matrix to some positions.
            weight: a factor.
        """
        value, weights = self._values[layer], None
        if mask is not None:
            value, weights = mask.select(value)
        return gram_squared_error(value, target, channel_map, weights, weight)

    def __getitem__(self, layer: str) -> Tensor:
        value = self._values[layer]
        return self._readouts[layer].features(value) if layer in self._readouts else value

    def __contains__(self, layer: object) -> bool:
        return layer in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _resample(value: Tensor, height: int, width: int, periodic: bool) -> Tensor:
    rows, columns = value.shape[-2] // height, value.shape[-1] // width
    if min(rows, columns) < 1 and periodic:
        return interpolate_periodic(value, height, width, "bilinear")
    if min(rows, columns) < 1:
        return functional.interpolate(value, size=(height, width), mode="bilinear", align_corners=False)
    if (value.shape[-2] // rows, value.shape[-1] // columns) == (height, width):
        # The same as adaptive pooling but for a remainder at the end, and several times as fast.
        return functional.avg_pool2d(value, (rows, columns))
    return functional.adaptive_avg_pool2d(value, (height, width))


def as_features(features: Mapping[str, Tensor]) -> Features:
    """Returns features as they are, or wraps plain tensors by layer name."""
    return features if isinstance(features, Features) else Features(features)


class PositionMask:
    """The positions of feature maps that lie in a part of an image.

    Args:
        mask: share of each pixel that counts, ``(1, 1, height, width)`` in [0, 1], not 0 everywhere.
    """

    def __init__(self, mask: Tensor) -> None:
        self._mask = mask
        self._positions: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def select(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Selects the features of the masked positions.

        Args:
            value: ``(1, channels, height, width)``, smaller than the image as a layer is.

        Returns:
            The features, ``(1, channels, positions, 1)``, and the weights of the positions, ``(1, 1, positions, 1)``
            with mean 1.
        """
        size = (value.shape[-2], value.shape[-1])
        # The mask of a frame is the same in every step.
        if size not in self._positions:
            weights = functional.adaptive_avg_pool2d(self._mask.float(), size).flatten()
            index = weights.nonzero()[:, 0]
            self._positions[size] = (index, (weights[index] / weights[index].mean())[None, None, :, None])
        index, weights = self._positions[size]
        # Channels-last networks store positions in this order.
        rows = value.permute(0, 2, 3, 1).reshape(size[0] * size[1], -1)[index]
        return rows.t()[None, :, :, None], weights
