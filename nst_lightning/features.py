"""Features of an image by layer name, some of which are linear maps of what a network computed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.functional import gram_matrix, moments, scaled


class Area:
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
class ReadOut:
    """A linear map from the channels that a network computes to those that stand for a layer.

    Attributes:
        weight: ``(outputs, channels)``, float32 or float64.
        bias: ``(outputs,)``, likewise.
    """

    weight: Tensor
    bias: Tensor

    def features(self, value: Tensor) -> Tensor:
        """The map of every position of ``(batch, channels, height, width)``, in the precision of that."""
        return functional.conv2d(value, self.weight[:, :, None, None].to(value.dtype), self.bias.to(value.dtype))

    def gram_matrix(self, value: Tensor, share: Tensor | None = None) -> Tensor:
        """The Gram matrix of :meth:`features` without making them."""
        return self.moments(value, share)[1] / len(self.bias)

    def moments(self, value: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The moments of :meth:`features` without making them; see :func:`nst_lightning.functional.moments`.

        With ``r = W x + b`` the mean of ``r r^T`` is ``W E W^T + W m b^T + b (W m)^T + b b^T``, of the mean ``m`` of
        ``x`` and the mean ``E`` of ``x x^T``.
        """
        with torch.autocast(value.device.type, enabled=False):
            mean, products = moments(value, share)
            weight, bias = self.weight.to(mean.dtype), self.bias.to(mean.dtype)
            moved = mean @ weight.t()
            mixed = moved[:, :, None] * bias
            return moved + bias, weight @ products @ weight.t() + mixed + mixed.mT + bias[:, None] * bias


class Features(Mapping[str, Tensor]):
    """Features by layer name, ``(batch, channels, height, width)`` each; read-outs are made when they are asked for.

    Args:
        values: what a network computed.
        read_outs: for layers that are linear maps of those.
    """

    def __init__(self, values: Mapping[str, Tensor], read_outs: Mapping[str, ReadOut] | None = None) -> None:
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

    def gram_matrix(self, layer: str, area: Area | None = None) -> Tensor:
        """The Gram matrix of a layer, or of a part of it, ``(batch, channels, channels)``."""
        value, share = (self._values[layer], None) if area is None else area.pick(self._values[layer])
        if layer in self._read_outs:
            return self._read_outs[layer].gram_matrix(value, share)
        return gram_matrix(scaled(value, share))

    def moments(self, layer: str) -> tuple[Tensor, Tensor]:
        """Means of a layer's channels and of their products, ``(batch, channels)``, ``(batch, channels, channels)``."""
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
