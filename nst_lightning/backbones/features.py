"""Features of an image by layer name, some of which are linear maps of what a network computed."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones.ops.gram_error import ChannelMap, gram_squared_error
from nst_lightning.functional.gram import gram_matrix, moments


class MaskedArea:
    """A part of an image, of which features are picked.

    Args:
        mask: how far each pixel is in it, ``(1, 1, height, width)`` in [0, 1], not 0 everywhere.
    """

    def __init__(self, mask: Tensor) -> None:
        self._mask = mask
        self._found: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def pick(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The features there, and how much each counts.

        Args:
            value: ``(1, channels, height, width)``, smaller than the image as a layer is.

        Returns:
            ``(1, channels, positions, 1)``, and ``(1, 1, positions, 1)`` with mean 1.
        """
        size = (value.shape[-2], value.shape[-1])
        if size not in self._found:
            share = functional.adaptive_avg_pool2d(self._mask.float(), size).flatten()
            index = share.nonzero()[:, 0]
            self._found[size] = (index, (share[index] / share[index].mean())[None, None, :, None])
        index, share = self._found[size]
        # In the order in which a channels-last network has them.
        rows = value.permute(0, 2, 3, 1).reshape(size[0] * size[1], -1)[index]
        return rows.t()[None, :, :, None], share


@dataclass(frozen=True)
class Readout:
    """A linear map from the channels that a network computes to those that stand for a layer.

    Attributes:
        affine: ``[[W, b], [0, 1]]`` of ``W x + b``, ``(outputs + 1, channels + 1)``, float32 or float64.
    """

    affine: Tensor

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> "Readout":
        """Of ``W``, ``(outputs, channels)``, and ``b``, ``(outputs,)``."""
        above = torch.cat([weight, bias[:, None]], 1)
        return cls(torch.cat([above, torch.eye(above.shape[1]).to(above)[-1:]]))

    def features(self, value: Tensor) -> Tensor:
        """The map of every position of ``(batch, channels, height, width)``, in the precision of that."""
        above = self.affine[:-1].to(value.dtype)
        return functional.conv2d(value, above[:, :-1, None, None], above[:, -1])

    @property
    def of_gram(self) -> Tensor:
        """``L``, of which ``L M L^T`` is the Gram matrix of :meth:`features` where ``M`` are the value's moments."""
        return self.affine[:-1] / math.sqrt(len(self.affine) - 1)

    def gram_matrix(self, value: Tensor) -> Tensor:
        """The Gram matrix of :meth:`features` without making them."""
        return _mapped(moments(value), self.of_gram)

    def moments(self, value: Tensor) -> Tensor:
        """The moments of :meth:`features` without making them; see :func:`nst_lightning.functional.gram.moments`."""
        return _mapped(moments(value), self.affine)


def _mapped(matrix: Tensor, affine: Tensor) -> Tensor:
    """``V M V^T``; ``M`` is symmetric."""
    affine = affine.to(matrix.dtype)
    with torch.autocast(matrix.device.type, enabled=False):
        return functional.linear(functional.linear(matrix, affine).mT, affine)


class Features(Mapping[str, Tensor]):
    """Features by layer name, ``(batch, channels, height, width)`` each; read-outs are made when they are asked for.

    Args:
        values: what a network computed.
        read_outs: for layers that are linear maps of those.
    """

    def __init__(self, values: Mapping[str, Tensor], read_outs: Mapping[str, Readout] | None = None) -> None:
        self._values = values
        self._read_outs = read_outs or {}

    @classmethod
    def of(cls, features: Mapping[str, Tensor]) -> "Features":
        """The features themselves, or tensors as features."""
        return features if isinstance(features, Features) else cls(features)

    def including(self, name: str, value: Tensor) -> "Features":
        """These and one more."""
        return Features({name: value, **self._values}, self._read_outs)

    def item(self, number: int) -> "Features":
        """Those of one picture of the batch."""
        values = {layer: value[number : number + 1] for layer, value in self._values.items()}
        return Features(values, self._read_outs)

    def gram_matrix(self, layer: str) -> Tensor:
        """The Gram matrix of a layer, ``(batch, channels, channels)``."""
        value = self._values[layer]
        return self._read_outs[layer].gram_matrix(value) if layer in self._read_outs else gram_matrix(value)

    def gram_map(self, layer: str, metric: Tensor | None = None) -> ChannelMap | None:
        """A map for :meth:`gram_error`, the same for all features of a network.

        Args:
            layer: its name.
            metric: by what both sides of the Gram matrix are multiplied, ``(1 or batch, channels, channels)``.

        Returns:
            The map from the channels that the network computes; None for nothing.
        """
        if layer not in self._read_outs:
            return None if metric is None else ChannelMap(metric / math.sqrt(metric.shape[-1]))
        left = self._read_outs[layer].of_gram
        with torch.autocast(left.device.type, enabled=False):
            left = left[None] if metric is None else metric @ left.to(metric.dtype)
        return ChannelMap(left[..., :-1].contiguous(), left[..., -1:].contiguous())

    def gram_error(
        self,
        layer: str,
        target: Tensor,
        of: ChannelMap | None = None,
        area: MaskedArea | None = None,
        weight: float = 1.0,
    ) -> Tensor:
        """The weighted mean squared error of a layer's Gram matrix, or of that of a part of it; a scalar.

        Args:
            layer: its name.
            target: as the map leaves it, ``(1 or batch, n, n)``.
            of: what :meth:`gram_map` made for this layer.
            area: the part.
            weight: a factor.
        """
        value, share = (self._values[layer], None) if area is None else area.pick(self._values[layer])
        return gram_squared_error(value, target, of, share, weight)

    def moments(self, layer: str) -> Tensor:
        """The moments of a layer; see :func:`nst_lightning.functional.gram.moments`."""
        value = self._values[layer]
        return self._read_outs[layer].moments(value) if layer in self._read_outs else moments(value)

    def __getitem__(self, layer: str) -> Tensor:
        value = self._values[layer]
        return self._read_outs[layer].features(value) if layer in self._read_outs else value

    def __contains__(self, layer: object) -> bool:
        return layer in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
