"""Neural style transfer by optimization (Gatys et al.) as a PyTorch Lightning training run."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nst_lightning.errors import DivergedError, InputError
from nst_lightning.version import __version__

if TYPE_CHECKING:
    from nst_lightning.api import stylize
    from nst_lightning.backbones import VGG16, VGG19, Backbone, SlimVGG19
    from nst_lightning.data.plan import Plan
    from nst_lightning.data.transfer import TransferData
    from nst_lightning.losses import ContentLoss, DisocclusionGramLoss, GramLoss, Loss, TemporalLoss, TotalVariationLoss
    from nst_lightning.training.module import StyleTransfer

__all__ = [
    "VGG16",
    "VGG19",
    "Backbone",
    "ContentLoss",
    "DisocclusionGramLoss",
    "DivergedError",
    "GramLoss",
    "InputError",
    "Loss",
    "Plan",
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
    "data.transfer": ("TransferData",),
    "losses": ("ContentLoss", "GramLoss", "Loss", "DisocclusionGramLoss", "TemporalLoss", "TotalVariationLoss"),
    "training.module": ("StyleTransfer",),
    "data.plan": ("Plan",),
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for: importing Lightning takes seconds, which `--help` is spared."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
