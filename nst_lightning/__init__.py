"""Neural style transfer by optimization (Gatys et al.) as a PyTorch Lightning training run."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nst_lightning.errors import DivergedError, InputError
from nst_lightning.version import __version__

if TYPE_CHECKING:
    from nst_lightning.api import stylize
    from nst_lightning.backbones import VGG16, VGG19, Backbone, SlimVGG19
    from nst_lightning.data import TransferData
    from nst_lightning.losses import ContentLoss, GramLoss, Loss, RevealedGramLoss, TemporalLoss, TotalVariationLoss
    from nst_lightning.module import StyleTransfer
    from nst_lightning.plan import Plan

__all__ = [
    "VGG16",
    "VGG19",
    "Backbone",
    "ContentLoss",
    "DivergedError",
    "GramLoss",
    "InputError",
    "Loss",
    "Plan",
    "RevealedGramLoss",
    "SlimVGG19",
    "StyleTransfer",
    "TemporalLoss",
    "TotalVariationLoss",
    "TransferData",
    "__version__",
    "stylize",
]

_HOMES = {
    "api": ("stylize",),
    "backbones": ("VGG16", "VGG19", "Backbone", "SlimVGG19"),
    "data": ("TransferData",),
    "losses": ("ContentLoss", "GramLoss", "Loss", "RevealedGramLoss", "TemporalLoss", "TotalVariationLoss"),
    "module": ("StyleTransfer",),
    "plan": ("Plan",),
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for: importing Lightning takes seconds, which `--help` is spared."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
