"""The interface of a loss: one weighted term of the objective."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from nst_lightning.backbones.features import IMAGE as IMAGE
from nst_lightning.backbones.features import Features, Readout, as_features, map_moments
from nst_lightning.backbones.multi_scale import join_layer
from nst_lightning.backbones.position_mask import PositionMask
from nst_lightning.errors import InputError
from nst_lightning.functional.pixels import mean_squared_error

# The picture that a loss compares the image with.
Reference = Literal["content", "style"]

# How a loss of a large image is computed from its tiles. `mean`: from the moments of its features, which are the
# average of those of the tiles. `local`: the loss itself is a mean over positions, and so an average over tiles.
# `neighbors`: likewise, but a separate search assigns a target to each position.
Tiling = Literal["mean", "local", "neighbors"]


class Loss(nn.Module, ABC):
    """A term of the objective: a weighted sum of distances, one for each layer.

    Args:
        weight: factor on the whole term.
    """

    # The picture that the loss compares with.
    reference: ClassVar[Reference | None] = None
    # Whether `layer_distances` may be called with some of the layers at a time.
    layerwise: bool = False
    # Whether the loss is the same function in all evaluations of a stage.
    is_constant: ClassVar[bool] = True
    # Names of the layers that the loss reads; `IMAGE` for the pixels.
    layers: tuple[str, ...] = ()
    # Distances in frames to the previous frames that the loss compares with.
    offsets: tuple[int, ...] = ()
    # What height and width of a tile have to be multiples of: the length of blocks that the loss averages.
    tile_multiple: int = 1

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self._strength_factor = 1.0

    @property
    def weight(self) -> float:
        """The factor on the whole term: the given weight times that of :meth:`set_strength_factor`."""
        return self._given_weight * self._strength_factor

    @weight.setter
    def weight(self, weight: float) -> None:
        self._given_weight = check_weight("weight", weight)

    @property
    def given_weight(self) -> float:
        """The weight without the factor of :meth:`set_strength_factor`."""
        return self._given_weight

    def change_weight(self, weight: float) -> None:
        """Replaces the given weight during a run. Takes effect in all distances once the next target is set.

        Args:
            weight: 0 or more and finite.
        """
        self.weight = weight

    @property
    def distance_names(self) -> tuple[str, ...]:
        """Names of the distances that :meth:`layer_distances` returns for all layers."""
        return self.layers

    def set_strength_factor(self, factor: float) -> None:
        """Sets the factor that a run's strength puts on the weight, in place of the one set before.

        Takes effect in all distances once the next target is set.

        Args:
            factor: 0 or more; 1 for a strength of 0.5. See :func:`nst_lightning.training.strength.strength_factor`.
        """
        self._strength_factor = factor

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Computes the weighted distances by layer, scalars; the term is their sum.

        Args:
            features: by layer name ``(batch, channels, height, width)``; the image itself is :data:`IMAGE`. If some
                layers are missing, the distances of the others are returned; a loss that is not :attr:`layerwise`
                then returns none.
        """
        # A loss that names no layer is evaluated once, with the image.
        if not self.layerwise and not all(layer in features for layer in self.layers or (IMAGE,)):
            return {}
        return self.layer_distances(as_features(features))

    @abstractmethod
    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """Computes the distances by layer with the weights of the term and of the layer included."""

    def set_channel_ratios(self, channel_ratio: Callable[[str], float]) -> None:
        """Scales the weights so that they mean the same on a thin network; called once, before the first target is set.

        Args:
            channel_ratio: returns the ratio of a layer; see
                :meth:`nst_lightning.backbones.base.Backbone.channel_ratio`.
        """

    def begin_stage(self) -> None:
        """Forgets what belongs to the previous stage; called at the start of a stage, not when a run resumes in it."""

    def begin_evaluation(self, step: int) -> None:
        """Announces an evaluation in training; losses that change during a stage change here.

        Args:
            step: number of evaluations before this one in the stage.
        """

    def set_previous_frames(self, frames: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """Sets the frames that precede the current one in a film.

        Args:
            frames: previous frames by their distance in frames. Each is warped to the current frame,
                ``(1, 3, height, width)``, with the reliability of its pixels, ``(1, 1, height, width)`` in [0, 1].
                Empty at the start of a shot.
        """


def total(distances: Mapping[str, Tensor]) -> Tensor:
    """Sums scalars in the order of insertion."""
    # Not `sum`, which starts from the integer 0 and so adds one more operation to the graph.
    first, *others = distances.values()
    for other in others:
        first = first + other
    return first


class FeatureLoss(Loss):
    """A loss that compares a statistic of the image's features with the same statistic of a reference picture.

    The term is ``weight * sum over layers of layer_weight * distance(statistic, target)``. Several pictures are blended
    by blending their statistics.

    The life of a target: :meth:`target_statistics` of each picture, :meth:`blend_statistics`, :meth:`set_target`, any
    number of evaluations, the next :meth:`set_target`. A target is a buffer, so it moves with the loss, and is never
    saved.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default.
        at: scales of the image at which the loss is evaluated, in (0, 1]; the term is their mean. [1, 0.5, 0.25] also
            compares the image at a half and a quarter of its size, which keeps large shapes. By default [1].
        styles: numbers of the styles, from 0, that the loss compares with; by default all of them.
    """

    layerwise = True
    # Share of the style's target that is restricted to what the content resembles, and the layer that is compared.
    matched: float = 0.0
    matched_layer: str = "conv4_2"
    # How the loss is computed from tiles; None if it needs all positions at a time.
    tiling: ClassVar[Tiling | None] = None
    # Whether the loss uses the features of the content in addition to its reference; see `set_content`.
    uses_content: bool = False

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        at: Sequence[float] | None = None,
        styles: Sequence[int] | None = None,
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
        scales = [1.0] if at is None else list(at)
        if not scales or len(set(scales)) != len(scales) or not all(0 < scale <= 1 for scale in scales):
            raise InputError(f"Expected `at` to be different scales over 0 and at most 1, but got {scales}.")
        self.layers = tuple(join_layer(layer, scale) for scale in scales for layer in layers)
        factors = [check_weight("layer_weights", w) for w in layer_weights or [1.0] * len(layers)]
        self.layer_weights = tuple(factor / len(scales) for _ in scales for factor in factors)
        self.styles = None if styles is None else _check_styles(styles)
        # Factors that compensate for the width of a thin network; set by losses that depend on it.
        self._ratio_factors: dict[str, float] = {}

    @abstractmethod
    def statistic(self, features: Features, layer: str) -> Tensor:
        """Computes the statistic of a layer that is compared with the target."""

    def target_statistic(self, features: Features, layer: str) -> Tensor:
        """Computes what a reference picture contributes to the target of a layer."""
        return self.statistic(features, layer)

    def distance(self, statistic: Tensor, layer: str) -> Tensor:
        """Computes the distance of a statistic from its target, a scalar: the mean squared error by default."""
        return mean_squared_error(statistic, self.target(layer))

    def restrict(self, part: PositionMask | None) -> tuple[PositionMask | None, float] | None:
        """Returns the positions of a part of the image that the loss reads, for a loss with a :attr:`tiling`.

        Args:
            part: the part; None for the whole image.

        Returns:
            The positions and a factor on their distance, or None if there are none and the loss is 0.
        """
        return part, 1.0

    def moments_distance(self, moments: Tensor, layer: str) -> Tensor:
        """Computes the weighted distance of a layer from its moments, for a loss whose :attr:`tiling` is `mean`.

        Args:
            moments: of what the network computed, before readouts; see :meth:`Features.value_moments`.
            layer: name of the layer.
        """
        affine = self.layer_buffer("affine", layer)
        statistic = moments if affine is None else map_moments(moments, affine)
        return self.weight_of(layer) * self.distance(statistic, layer)

    def reads_means(self, layer: str) -> bool:
        """Whether :meth:`moments_distance` depends on the means of channels, which take more time."""
        return True

    def set_readout(self, layer: str, readouts: Mapping[str, Readout] | None) -> None:
        """Keeps the readout of a layer, for :meth:`moments_distance`."""
        readout = (readouts or {}).get(layer)
        self.set_buffer("affine", layer, None if readout is None else readout.affine)

    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """See :meth:`Loss.layer_distances`; a target must have been set."""
        return {
            layer: self.weight_of(layer) * self.distance(self.statistic(features, layer), layer)
            for layer in self.layers_in(features)
        }

    def target_statistics(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Computes the statistics of a reference picture by layer, for those layers that are in ``features``."""
        known = as_features(features)
        return {layer: self.target_statistic(known, layer).detach() for layer in self.layers_in(known)}

    def content_statistics(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Computes the statistics of the content by layer for a loss that also uses the content."""
        known = as_features(features)
        return {layer: self.statistic(known, layer).detach() for layer in self.layers_in(known)}

    def set_content(self, statistics: Mapping[str, Tensor]) -> None:
        """Sets the statistics of the content, for a loss with :attr:`uses_content`; by default it does nothing.

        Args:
            statistics: as :meth:`content_statistics` returns them.
        """

    def blend_statistics(self, statistics: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Blends the statistics of several reference pictures at one layer: their weighted sum by default.

        Args:
            statistics: of each picture, as :meth:`target_statistic` returns them.
            weights: blend weight of each picture; they sum to 1.
        """
        blended = weights[0] * statistics[0]
        for weight, statistic in zip(weights[1:], statistics[1:], strict=True):
            blended = blended + weight * statistic
        return blended

    def set_target(self, statistics: Mapping[str, Tensor], readouts: Mapping[str, Readout] | None = None) -> None:
        """Sets the target.

        Args:
            statistics: the blended statistics of the reference pictures, by layer.
            readouts: the backbone's readouts, by layer; for losses that compute statistics of readouts.
        """
        for layer, statistic in statistics.items():
            self.set_buffer("target", layer, statistic)
            self.set_readout(layer, readouts)

    def set_blended_target(
        self,
        statistics: Mapping[str, Sequence[Tensor | None]],
        weights: Sequence[float],
        readouts: Mapping[str, Readout] | None = None,
    ) -> None:
        """Blends the statistics of several reference pictures and sets the target.

        Args:
            statistics: by layer, those of each picture; None for a picture that has none in this layer.
            weights: blend weight of each picture; they sum to 1.
            readouts: see :meth:`set_target`.
        """
        blended = {}
        for layer, values in statistics.items():
            known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
            if not known:
                continue
            whole = sum(weight for _, weight in known) if len(known) < len(values) else 1.0
            parts, shares = [value for value, _ in known], [weight / whole for _, weight in known]
            blended[layer] = self.blend_statistics(parts, shares)
        self.set_target(blended, readouts)

    def target(self, layer: str) -> Tensor:
        """Returns the target of a layer."""
        return self.require_buffer("target", layer)

    def set_buffer(self, name: str, layer: str, value: Tensor | None) -> None:
        """Sets a tensor that belongs to the target of a layer: it moves with the loss and is not saved."""
        self.register_buffer(_buffer_name(name, layer), value, persistent=False)

    def layer_buffer(self, name: str, layer: str) -> Tensor | None:
        """Returns what :meth:`set_buffer` has set."""
        buffer: Tensor | None = self.get_buffer(_buffer_name(name, layer))
        return buffer

    def require_buffer(self, name: str, layer: str) -> Tensor:
        """Returns what :meth:`set_buffer` has set to a tensor."""
        buffer = self.layer_buffer(name, layer)
        assert buffer is not None, "a target must have been set"
        return buffer

    def layers_in(self, features: Mapping[str, Tensor]) -> list[str]:
        """Returns the layers of the loss that are among the features."""
        return [layer for layer in self.layers if layer in features]

    def weight_of(self, layer: str) -> float:
        """Returns the product of the weight of the term, of the layer and of its channel ratio."""
        layer_weight = self.layer_weights[self.layers.index(layer)]
        return self.weight * layer_weight * self._ratio_factors.get(layer, 1.0)


def _buffer_name(name: str, layer: str) -> str:
    # torch permits no dots, which scales of layers contain.
    return f"{name}_{layer}".replace(".", "_")


def _check_styles(styles: Sequence[int]) -> tuple[int, ...]:
    if not styles or len(set(styles)) != len(styles) or min(styles) < 0:
        raise InputError(f"Expected `styles` to be different numbers of styles, from 0, but got {list(styles)}.")
    return tuple(styles)


def check_weight(name: str, value: float) -> float:
    """Returns a weight.

    Raises:
        InputError: the weight is negative or not finite.
    """
    if not math.isfinite(value) or value < 0:
        raise InputError(f"Expected `{name}` to be 0 or more and finite, but got {value}.")
    return value


def check_share(name: str, value: float) -> float:
    """Returns a share.

    Raises:
        InputError: the share is not from 0 to 1.
    """
    if not 0 <= value <= 1:
        raise InputError(f"Expected `{name}` to be from 0 to 1, but got {value}.")
    return value
