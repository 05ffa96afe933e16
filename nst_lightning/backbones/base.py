"""The interface of a backbone: a frozen network that turns an image into named features."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from nst_lightning.backbones.features import Features, Readout, as_features
from nst_lightning.errors import InputError

# What each convolution reads beyond the edges of its input; see :meth:`Backbone.with_padding`.
Padding = Literal["circular", "replicate"]

# Returns the part of a map that is needed, given the map and the distance in px between two of its positions.
Trim = Callable[[Tensor, int], Tensor]


class Backbone(nn.Module, ABC):
    """A frozen feature extractor whose parameters never enter a checkpoint.

    A backbone knows the names of its layers from the start. :meth:`build` makes it as deep as the deepest requested
    layer and loads its weights. Its parameters are dropped from every state dict and are not requested when one is
    loaded: a checkpoint of a run holds only the image, and the rest of the module still loads strictly. Constants,
    such as means, belong in buffers with ``persistent=False``.
    """

    def __init__(self) -> None:
        super().__init__()
        # Tensors computed from frozen weights, by name and key, with the identity of the weight they came from.
        self._derived: dict[tuple[str, object], tuple[object, Tensor]] = {}
        self.register_state_dict_post_hook(_drop_own_tensors)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_restore_own_tensors)  # type: ignore[no-untyped-call]

    @property
    @abstractmethod
    def layer_names(self) -> tuple[str, ...]:
        """Every name that :meth:`build` and :meth:`forward` accept."""

    @abstractmethod
    def build(self, layers: Iterable[str]) -> None:
        """Builds the network up to the deepest layer and loads its weights.

        Args:
            layers: names from :attr:`layer_names`.

        Raises:
            InputError: the backbone has no such layer, or the weights end before it.
        """

    @abstractmethod
    def smallest_size(self, layers: Iterable[str]) -> int:
        """Returns the length in px of the shortest image edge for which each layer still has a value."""

    @abstractmethod
    def forward(self, image: Tensor, layers: Iterable[str]) -> Mapping[str, Tensor]:
        """Computes features of an image.

        Args:
            image: ``(batch, 3, height, width)``, sRGB in [0, 1].
            layers: names of layers that the network was built for.

        Returns:
            For each name, ``(batch, channels, height, width)`` of that layer.
        """

    def with_padding(self, padding: Padding) -> "Backbone":
        """Returns this network, with the same tensors, with another padding in each convolution.

        Args:
            padding: ``circular`` reads values of the opposite edge, for an image that repeats; ``replicate`` repeats
                the values of the edge.

        Raises:
            InputError: the padding of the network cannot be changed.
        """
        raise InputError(
            f"Expected a network that can pad circularly for `tileable`, but got {type(self).__name__}: use VGG16, "
            "VGG19 or SlimVGG19, or set model.tileable to false."
        )

    def is_tile(self, length: int, layers: Iterable[str]) -> bool:
        """Whether the features of an image that repeats also repeat, without a remainder at the end.

        Args:
            length: height or width of the image in px.
            layers: names from :attr:`layer_names`.
        """
        return True

    def step(self, layer: str) -> int:
        """Returns the distance in px between two positions of a layer."""
        return self.smallest_size([layer])

    def receptive_radius(self, layers: Iterable[str]) -> int | None:
        """Returns how far in px a position of the layers reads beyond the pixels that it stands for.

        Returns:
            The radius, or None if it is not known; images are then evaluated whole.
        """
        return None

    def receptive_radii(self, layers: Iterable[str]) -> Mapping[int, int] | None:
        """Returns how far in px a position of the layers reads in the image and in the maps after poolings.

        Returns:
            The radius of :meth:`receptive_radius` as that of the step 1, and the radii in those maps for which
            :meth:`stream` calls `trim`, by their steps; None if they are not known.
        """
        radius = self.receptive_radius(layers)
        return None if radius is None else {1: radius}

    def stream(self, image: Tensor, layers: Iterable[str], trim: Trim | None = None) -> Iterator[Features]:
        """Yields the features of :meth:`forward` in parts, each layer once, as soon as it is computed.

        Args:
            image: as for :meth:`forward`.
            layers: as for :meth:`forward`.
            trim: returns the part of a map after a pooling for which the layers after it are computed, given the map
                and its step; see :meth:`receptive_radii`, without which no map is trimmed.
        """
        yield as_features(self(image, layers))

    def readout(self, layer: str) -> Readout | None:
        """Returns the readout that :meth:`forward` applies to a layer, or None."""
        return None

    def channel_ratio(self, layer: str) -> float:
        """Returns the number of reference channels per channel of a layer.

        The ratio is 1 for a network that is its own reference. The Gram matrix of Gatys et al. is divided by the number
        of channels, so a thinner network needs this factor; a mean over channels does not.

        Args:
            layer: a name from :attr:`layer_names`.
        """
        return 1.0

    @property
    def saves_memory(self) -> bool:
        """Whether the network uses activation checkpointing."""
        return False

    def derived_bytes(self, dtype: torch.dtype, device: torch.device) -> int:
        """Estimates the memory of weights that are stored in other forms for large images.

        Args:
            dtype: data type to compute in.
            device: device to compute on.
        """
        return 0

    def freeze(self) -> None:
        """Excludes the parameters from training; call it at the end of :meth:`build`."""
        self.requires_grad_(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Discards derived tensors when training of the network begins or ends."""
        self._derived.clear()
        return super().requires_grad_(requires_grad)

    def cast(self, name: str, dtype: torch.dtype) -> Tensor:
        """Returns a parameter or buffer in another data type, cast once if it is frozen.

        Args:
            name: as in :meth:`named_parameters` or :meth:`named_buffers`.
            dtype: data type to compute in.
        """
        return self.derive(name, dtype, lambda tensor: _cast(tensor, dtype))

    def derive(self, name: str, key: object, make: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns a tensor computed from a parameter or buffer, computed once if it is frozen.

        Args:
            name: as in :meth:`named_parameters` or :meth:`named_buffers`.
            key: identifies what is computed.
            make: computes the derived tensor.
        """
        owner, _, attribute = name.rpartition(".")
        tensor: Tensor = getattr(self.get_submodule(owner), attribute)
        if tensor.requires_grad:
            return make(tensor)
        # A network that moves to another device or data type gets new storage.
        source = (tensor.data_ptr(), tensor.dtype, tensor.device)
        cached = self._derived.get((name, key))
        if cached is None or cached[0] != source:
            cached = self._derived[name, key] = (source, make(tensor.detach()))
        return cached[1]


def computing_dtype(image: Tensor) -> torch.dtype:
    """Returns the data type to compute features in: autocast's if it is enabled, else the image's own."""
    device = image.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return image.dtype


def disable_autocast(device: str) -> AbstractContextManager[object]:
    """Returns a context in which operations compute in the data type of their arguments."""
    available = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if available else nullcontext()


def repeat_autocast(device: str) -> Callable[[], AbstractContextManager[object]]:
    """Returns a function that creates contexts with the current autocast settings."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext
    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    return lambda: torch.autocast(device, dtype, enabled)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    # CPUs take half as long again with another layout, and more in bfloat16.
    layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    return tensor.to(dtype).contiguous(memory_format=layout)


def _drop_own_tensors(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, local_metadata: Mapping[str, Any]
) -> None:
    for key in [key for key in state_dict if key.startswith(prefix)]:
        del state_dict[key]


def _restore_own_tensors(module: nn.Module, state_dict: dict[str, Any], prefix: str, *unused: Any) -> None:
    # A strict load then finds the parameters that no checkpoint contains.
    state_dict.update({prefix + name: parameter for name, parameter in module.named_parameters()})
