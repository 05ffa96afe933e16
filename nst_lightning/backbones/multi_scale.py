"""Features of an image and of smaller copies of it."""

import math
from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones.base import Backbone, Padding, Trim, disable_autocast
from nst_lightning.backbones.features import IMAGE, Features, Readout, as_features
from nst_lightning.errors import InputError
from nst_lightning.functional.periodic import interpolate_periodic

# Separates the name of a layer from the scale of the image: `conv_3@0.5`.
AT = "@"


class MultiScale(Backbone):
    """A network that also evaluates smaller copies of an image.

    A layer ``NAME@SCALE``, such as ``conv_3@0.5``, is the layer ``NAME`` of the image shrunk to ``SCALE`` times its
    size. Statistics of a shrunk image describe larger shapes than those of the image itself (SGSST, Galerne et al.
    2025).

    Args:
        network: the network that evaluates each copy.
    """

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.network = network
        self.edges: Padding | None = None

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The names of the network, to which ``@SCALE`` may be added."""
        return self.network.layer_names

    @property
    def saves_memory(self) -> bool:
        """See :meth:`Backbone.saves_memory`."""
        return self.network.saves_memory

    def build(self, layers: Iterable[str]) -> None:
        """See :meth:`Backbone.build`."""
        names = dict.fromkeys(split_layer(layer)[0] for layer in layers)
        self.network.build([name for name in names if name != IMAGE])

    def smallest_size(self, layers: Iterable[str]) -> int:
        """See :meth:`Backbone.smallest_size`."""
        smallest = 1
        for scale, names in group_by_scale(layers).items():
            length = self.network.smallest_size([name for name in names if name != IMAGE])
            smallest = max(smallest, math.ceil(length / scale))
        return smallest

    def with_padding(self, padding: Padding) -> "MultiScale":
        """See :meth:`Backbone.with_padding`; smaller copies of an image that repeats do so as well."""
        network = MultiScale(self.network.with_padding(padding))
        network.edges = padding
        return network

    def is_tile(self, length: int, layers: Iterable[str]) -> bool:
        """See :meth:`Backbone.is_tile`."""
        return all(
            self.network.is_tile(_shrink_length(length, scale), [name for name in names if name != IMAGE])
            for scale, names in group_by_scale(layers).items()
        )

    def forward(self, image: Tensor, layers: Iterable[str]) -> Features:
        """See :meth:`Backbone.forward`."""
        return Features.join(list(self.stream(image, layers)))

    def stream(self, image: Tensor, layers: Iterable[str], trim: Trim | None = None) -> Iterator[Features]:
        """See :meth:`Backbone.stream`; several scales are not trimmed, because :meth:`receptive_radii` is None."""
        for scale, names in group_by_scale(layers).items():
            shrunk = shrink(image, scale, self.edges == "circular")
            rename = partial(join_layer, scale=scale)
            if IMAGE in names:
                yield Features({rename(IMAGE): shrunk})
            for part in self.network.stream(shrunk, [name for name in names if name != IMAGE]):
                yield as_features(part).renamed(rename)

    def readout(self, layer: str) -> Readout | None:
        """See :meth:`Backbone.readout`."""
        name = split_layer(layer)[0]
        return None if name == IMAGE else self.network.readout(name)

    def channel_ratio(self, layer: str) -> float:
        """See :meth:`Backbone.channel_ratio`."""
        name = split_layer(layer)[0]
        return 1.0 if name == IMAGE else self.network.channel_ratio(name)

    def derived_bytes(self, dtype: torch.dtype, device: torch.device) -> int:
        """See :meth:`Backbone.derived_bytes`."""
        return self.network.derived_bytes(dtype, device)


def shrink(image: Tensor, scale: float, periodic: bool = False) -> Tensor:
    """Shrinks an image by antialiased bilinear interpolation.

    Args:
        image: ``(batch, channels, height, width)``.
        scale: factor on height and width, in (0, 1]; 1 returns the image itself.
        periodic: whether the image repeats beyond its edges.
    """
    if scale == 1:
        return image
    height, width = (_shrink_length(length, scale) for length in image.shape[-2:])
    with disable_autocast(image.device.type):
        if periodic:
            return interpolate_periodic(image, height, width, "bilinear")
        return functional.interpolate(image, size=(height, width), mode="bilinear", antialias=True)


def _shrink_length(length: int, scale: float) -> int:
    return max(1, round(length * scale))


def split_layer(layer: str) -> tuple[str, float]:
    """Splits a name such as ``conv_3@0.5`` into the layer and the scale; without ``@`` the scale is 1.

    Raises:
        InputError: the scale is not a number in (0, 1].
    """
    name, separator, text = layer.partition(AT)
    if not separator:
        return name, 1.0
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1:
        raise InputError(f"Expected the scale after {AT} to be over 0 and at most 1, but got the layer {layer!r}.")
    return name, scale


def join_layer(name: str, scale: float) -> str:
    """Returns the name of a layer at a scale; the inverse of :func:`split_layer`."""
    return name if scale == 1 else f"{name}{AT}{scale:g}"


def group_by_scale(layers: Iterable[str]) -> dict[float, list[str]]:
    """Groups layers by the scale of the image, in their order, without the scale in their names."""
    groups: dict[float, list[str]] = {}
    for layer in layers:
        name, scale = split_layer(layer)
        groups.setdefault(scale, []).append(name)
    return groups
