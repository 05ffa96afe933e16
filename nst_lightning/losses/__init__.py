"""Terms of the objective."""

from nst_lightning.losses.base import FeatureLoss, Loss
from nst_lightning.losses.channels import HistogramLoss, MeanStdLoss
from nst_lightning.losses.content import ContentLoss, LaplacianLoss, SelfSimilarityLoss
from nst_lightning.losses.deprecated import RevealedGramLoss
from nst_lightning.losses.disocclusion import DisocclusionGramLoss
from nst_lightning.losses.gram import GramLoss
from nst_lightning.losses.neighbor import NeighborLoss
from nst_lightning.losses.regularization import GrainAwareTotalVariationLoss, TotalVariationLoss
from nst_lightning.losses.relaxed_emd import RelaxedEMDLoss
from nst_lightning.losses.temporal import TemporalLoss
from nst_lightning.losses.wasserstein import SlicedWassersteinLoss, WassersteinLoss

__all__ = [
    "ContentLoss",
    "DisocclusionGramLoss",
    "FeatureLoss",
    "GrainAwareTotalVariationLoss",
    "GramLoss",
    "HistogramLoss",
    "LaplacianLoss",
    "Loss",
    "MeanStdLoss",
    "NeighborLoss",
    "RelaxedEMDLoss",
    "RevealedGramLoss",
    "SelfSimilarityLoss",
    "SlicedWassersteinLoss",
    "TemporalLoss",
    "TotalVariationLoss",
    "WassersteinLoss",
]
