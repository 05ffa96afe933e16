"""Neural style transfer by optimization (Gatys et al.) as a PyTorch Lightning training run."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nst_lightning.errors import DivergedError as DivergedError
from nst_lightning.errors import InputError as InputError
from nst_lightning.version import __version__ as __version__

if TYPE_CHECKING:  # the table below, for type checkers
    from nst_lightning.api import stylize as stylize
    from nst_lightning.backbones import VGG16 as VGG16
    from nst_lightning.backbones import VGG19 as VGG19
    from nst_lightning.backbones import Backbone as Backbone
    from nst_lightning.backbones import SlimVGG19 as SlimVGG19
    from nst_lightning.data.plan import Plan as Plan
    from nst_lightning.data.style_source import StyleSource as StyleSource
    from nst_lightning.data.transfer import TransferData as TransferData
    from nst_lightning.losses import ContentLoss as ContentLoss
    from nst_lightning.losses import DisocclusionGramLoss as DisocclusionGramLoss
    from nst_lightning.losses import FeatureLoss as FeatureLoss
    from nst_lightning.losses import GrainAwareTotalVariationLoss as GrainAwareTotalVariationLoss
    from nst_lightning.losses import GramLoss as GramLoss
    from nst_lightning.losses import HistogramLoss as HistogramLoss
    from nst_lightning.losses import LaplacianLoss as LaplacianLoss
    from nst_lightning.losses import Loss as Loss
    from nst_lightning.losses import MeanStdLoss as MeanStdLoss
    from nst_lightning.losses import NeighborLoss as NeighborLoss
    from nst_lightning.losses import RelaxedEMDLoss as RelaxedEMDLoss
    from nst_lightning.losses import RevealedGramLoss as RevealedGramLoss
    from nst_lightning.losses import SelfSimilarityLoss as SelfSimilarityLoss
    from nst_lightning.losses import SlicedWassersteinLoss as SlicedWassersteinLoss
    from nst_lightning.losses import TemporalLoss as TemporalLoss
    from nst_lightning.losses import TotalVariationLoss as TotalVariationLoss
    from nst_lightning.losses import WassersteinLoss as WassersteinLoss
    from nst_lightning.training.module import StyleTransfer as StyleTransfer

# Public names and their modules. Each is imported at its first use, because torch and Lightning take seconds.
_MODULES = {
    "Backbone": "nst_lightning.backbones",
    "ContentLoss": "nst_lightning.losses",
    "DisocclusionGramLoss": "nst_lightning.losses",
    "FeatureLoss": "nst_lightning.losses",
    "GrainAwareTotalVariationLoss": "nst_lightning.losses",
    "GramLoss": "nst_lightning.losses",
    "HistogramLoss": "nst_lightning.losses",
    "LaplacianLoss": "nst_lightning.losses",
    "Loss": "nst_lightning.losses",
    "NeighborLoss": "nst_lightning.losses",
    "MeanStdLoss": "nst_lightning.losses",
    "Plan": "nst_lightning.data.plan",
    "RelaxedEMDLoss": "nst_lightning.losses",
    "RevealedGramLoss": "nst_lightning.losses",  # deprecated
    "SelfSimilarityLoss": "nst_lightning.losses",
    "SlicedWassersteinLoss": "nst_lightning.losses",
    "SlimVGG19": "nst_lightning.backbones",
    "StyleSource": "nst_lightning.data.style_source",
    "StyleTransfer": "nst_lightning.training.module",
    "TemporalLoss": "nst_lightning.losses",
    "TotalVariationLoss": "nst_lightning.losses",
    "TransferData": "nst_lightning.data.transfer",
    "VGG16": "nst_lightning.backbones",
    "VGG19": "nst_lightning.backbones",
    "WassersteinLoss": "nst_lightning.losses",
    "stylize": "nst_lightning.api",
}

__all__ = ["DivergedError", "InputError", "__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Lists the public names, including those that are not imported yet."""
    return sorted({*globals(), *__all__})
