"""What every backbone is: a frozen network that turns an image into named features."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import torch
from torch import Tensor, nn

from nst_lightning.backbones.features import Features
from nst_lightning.backbones.ops.checkpointing import Found

Measure = Callable[[Features], Found]


class Backbone(nn.Module, ABC):
    """A frozen feature extractor whose parameters never enter a checkpoint.

    A backbone knows the names of its layers from the start and is built, to the deepest layer that is wanted and no
    deeper, by :meth:`build`. Its parameters are dropped from every state dict it is part of and are not asked for when
    one is loaded: a checkpoint of a run holds the image alone, and the rest of the module still loads strictly.
    Constants (means and the like) belong into buffers with ``persistent=False``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._derived: dict[tuple[str, object], Tensor] = {}
        self.register_state_dict_post_hook(_drop_own_tensors)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_put_own_tensors_back)  # type: ignore[no-untyped-call]

    @property
    @abstractmethod
    def layer_names(self) -> tuple[str, ...]:
        """Every name that :meth:`build` and :meth:`forward` accept."""

    @abstractmethod
    def build(self, layers: Iterable[str]) -> None:
        """Makes the network as deep as ``layers`` need and loads its weights.

        Args:
            layers: names out of :attr:`layer_names`.

        Raises:
            InputError: a name the backbone does not have, or weights that do not reach it.
        """

    @abstractmethod
    def smallest_size(self, layers: Iterable[str]) -> int:
        """Length in px of the shortest image edge for which every one of ``layers`` still has a value."""

    @abstractmethod
    def forward(self, image: Tensor, layers: Iterable[str]) -> Mapping[str, Tensor]:
        """Features of an image, by the names they were asked for.

        Args:
            image: ``(batch, 3, height, width)``, sRGB in [0, 1].
            layers: names for which the network was built.

        Returns:
            For each name ``(batch, channels, height, width)`` of that layer.
        """

    def gather(self, image: Tensor, layers: Iterable[str], measure: Measure) -> Found:
        """What is measured of an image's features, without more of them in memory at once than need be.

        Args:
            image: as for :meth:`forward`.
            layers: likewise.
            measure: is called with the features, once with all or several times with some of them, and again for the
                gradient; it gives tensors by any names.

        Returns:
            What all calls gave.
        """
        return measure(Features.of(self(image, layers)))

    @property
    def saves_memory(self) -> bool:
        """Whether it is to take little memory, though it be slower."""
        return False

    def channel_ratio(self, layer: str) -> float:
        """How many channels of the network that is stood in for each channel of a layer stands for.

        1 for a network that stands for itself. A mean over channels needs no such factor, but the Gram matrix of
        Gatys et al. is divided by their number, and so is larger the fewer there are.

        Args:
            layer: a name out of :attr:`layer_names`.
        """
        return 1.0

    def derived_bytes(self, dtype: torch.dtype, device: torch.device) -> int:
        """About how much memory weights take in the forms that evaluations of large images make of them.

        Args:
            dtype: to compute in.
            device: to compute on.
        """
        return 0

    def freeze(self) -> None:
        """Takes the parameters out of training; call it at the end of :meth:`build`."""
        self.requires_grad_(False)

    def cast(self, name: str, dtype: torch.dtype) -> Tensor:
        """A parameter or buffer in another precision: cast once if it is frozen, each time while it is trained.

        Args:
            name: as in :meth:`named_parameters` or :meth:`named_buffers`.
            dtype: to compute in.
        """
        return self.derived(name, dtype, lambda tensor: _cast(tensor, dtype))

    def derived(self, name: str, what: object, make: Callable[[Tensor], Tensor]) -> Tensor:
        """Something made of a parameter or buffer: once if it is frozen, each time while it is trained.

        Args:
            name: as in :meth:`named_parameters` or :meth:`named_buffers`.
            what: it is, to be found again by.
            make: makes it.
        """
        found = self._derived.get((name, what))
        if found is not None:
            return found
        owner, _, attribute = name.rpartition(".")
        tensor: Tensor = getattr(self.get_submodule(owner), attribute)
        if tensor.requires_grad:
            return make(tensor)
        return self._derived.setdefault((name, what), make(tensor.detach()))

    def _apply(self, *arguments: Any, **options: Any) -> Self:
        """Forgets what was derived when the network is moved or changed."""
        self._derived.clear()
        return super()._apply(*arguments, **options)  # type: ignore[no-untyped-call, no-any-return]

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Forgets what was derived when the network begins or ends to be trained."""
        self._derived.clear()
        return super().requires_grad_(requires_grad)


def computing_dtype(image: Tensor) -> torch.dtype:
    """The precision to compute an image's features in: autocast's where that is enabled, else the image's own."""
    device = image.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return image.dtype


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    # Half as long again on CPUs with another layout, and more in bfloat16.
    layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    return tensor.to(dtype).contiguous(memory_format=layout)


def _drop_own_tensors(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, local_metadata: Mapping[str, Any]
) -> None:
    for key in [key for key in state_dict if key.startswith(prefix)]:
        del state_dict[key]


def _put_own_tensors_back(module: nn.Module, state_dict: dict[str, Any], prefix: str, *unused: Any) -> None:
    state_dict.update({prefix + name: parameter for name, parameter in module.named_parameters()})


def without_autocast(device: str) -> AbstractContextManager[object]:
    """A region that computes in the precision of what it is given."""
    available = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if available else nullcontext()


def autocast_region(device: str) -> Callable[[], AbstractContextManager[object]]:
    """Makes regions that compute as the one we are in now."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext
    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    return lambda: torch.autocast(device, dtype, enabled)
