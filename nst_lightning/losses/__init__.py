"""Terms of the objective."""

from nst_lightning.losses.base import FeatureLoss, Loss
from nst_lightning.losses.content import ContentLoss
from nst_lightning.losses.regularization import TotalVariationLoss
from nst_lightning.losses.revealed import RevealedGramLoss
from nst_lightning.losses.style import GramLoss
from nst_lightning.losses.temporal import TemporalLoss
from nst_lightning.losses.transport import SlicedWassersteinLoss, WassersteinLoss

__all__ = [
    "ContentLoss",
    "FeatureLoss",
    "GramLoss",
    "Loss",
    "RevealedGramLoss",
    "SlicedWassersteinLoss",
    "TemporalLoss",
    "TotalVariationLoss",
    "WassersteinLoss",
]
