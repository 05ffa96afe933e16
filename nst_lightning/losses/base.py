"""What every term of the objective is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from nst_lightning.errors import InputError
from nst_lightning.functional.pixels import mean_squared_error

IMAGE = "image"
"""The name under which the image itself stands among its features."""

Reference = Literal["content", "style"]
"""Which of the given pictures a term compares the image with."""


class Loss(nn.Module, ABC):
    """A term of the objective: a weighted sum of parts, one for each layer.

    Args:
        weight: factor on the whole term.
    """

    reference: ClassVar[Reference | None] = None
    layerwise: ClassVar[bool] = False
    """Whether :meth:`parts` may be called with some of the layers at a time, and gives the parts of those."""
    layers: tuple[str, ...] = ()
    offsets: tuple[int, ...] = ()
    """How many frames before are those of a film that the term looks back at."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = _finite("weight", weight)

    @abstractmethod
    def parts(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighted parts of the term, by layer; the term is their sum.

        Args:
            features: by layer name ``(batch, channels, height, width)``; the image itself is :data:`IMAGE`.

        Returns:
            Scalars that have the term's weight and the layer's weight in them.
        """

    def set_channel_ratios(self, channel_ratio: Callable[[str], float]) -> None:
        """Makes the term's weight mean the same on a thin network; to be called once, before the first target.

        Args:
            channel_ratio: of a layer, by name; see :meth:`nst_lightning.backbones.base.Backbone.channel_ratio`.
        """

    def set_previous_frames(self, before: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """Hands over the frames before the one that is painted, to terms that look back.

        Args:
            before: by how many frames before: that frame, ``(1, 3, height, width)``, moved to where things are now,
                and how far each pixel of it can be relied on, ``(1, 1, height, width)``. Empty where nothing is before.
        """

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """The term as a scalar; see :meth:`parts`."""
        return total(self.parts(features))


def total(parts: Mapping[str, Tensor]) -> Tensor:
    """Sum of scalars in the order of their names' insertion."""
    first, *others = parts.values()
    for other in others:
        first = first + other
    return first


class FeatureLoss(Loss):
    """A term that compares a statistic of the image's features with the same statistic of a reference picture.

    ``weight * sum over layers of layer_weight * distance(statistic(features), target)``. Several pictures are blended
    by blending their statistics. Targets are no part of a checkpoint: they are made again.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in their order; 1 each unless given.
    """

    layerwise = True

    def __init__(
        self, layers: Sequence[str], weight: float = 1.0, layer_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(weight)
        if not layers:
            raise InputError(f"Expected at least one layer in `layers` of {type(self).__name__}, but got none.")
        if len(set(layers)) != len(layers):
            raise InputError(f"Expected each of `layers` once, but got {list(layers)}.")
        if layer_weights is not None and len(layer_weights) != len(layers):
            raise InputError(
                f"Expected `layer_weights` to have a value for each of the {len(layers)} layers, "
                f"but got {len(layer_weights)}."
            )
        self.layers = tuple(layers)
        self.layer_weights = tuple(_finite("layer_weights", w) for w in layer_weights or [1.0] * len(layers))
        self._targets: dict[str, Tensor] = {}
        self._factors: dict[str, float] = {}

    @abstractmethod
    def statistic(self, features: Tensor) -> Tensor:
        """What of a layer's features ``(batch, channels, height, width)`` is compared."""

    def statistic_of(self, features: Mapping[str, Tensor], layer: str) -> Tensor:
        """The statistic of a layer; a term that need not have the features themselves takes it otherwise."""
        return self.statistic(features[layer])

    def distance(self, value: Tensor, target: Tensor) -> Tensor:
        """How far a statistic is from its target, as a scalar: the mean squared error unless a term has another."""
        return mean_squared_error(value, target)

    def clear_target(self) -> None:
        """Forgets the reference pictures."""
        self._targets = {}

    def add_target(self, features: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Adds a reference picture to the target.

        Args:
            features: the picture's; of the layers that are not there, another call has them.
            share: factor on its statistics; the shares of all pictures sum to 1.
        """
        for layer in self._found_in(features):
            self._add_to_target(layer, share * self.statistic_of(features, layer).detach())

    def _found_in(self, features: Mapping[str, Tensor]) -> list[str]:
        return [layer for layer in self.layers if layer in features]

    def _add_to_target(self, layer: str, value: Tensor) -> None:
        self._targets[layer] = self._targets[layer] + value if layer in self._targets else value

    def parts(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Loss.parts`; of the layers that there are. A target must have been added before."""
        found = self._found_in(features)
        return {layer: self.layer_distance(layer, self.statistic_of(features, layer)) for layer in found}

    def layer_distance(self, layer: str, value: Tensor) -> Tensor:
        """The weighted distance of a layer's statistic from its target, a scalar."""
        return self._weight(layer) * self.distance(value, self._targets[layer])

    def _weight(self, layer: str) -> float:
        layer_weight = self.layer_weights[self.layers.index(layer)]
        return self.weight * layer_weight * self._factors.get(layer, 1.0)


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise InputError(f"Expected `{name}` to be 0 or more and finite, but got {value}.")
    return value
