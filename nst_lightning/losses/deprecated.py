"""Old names of losses, which saved configurations contain."""

import warnings
from typing import Any

from nst_lightning.losses.disocclusion import DisocclusionGramLoss


class RevealedGramLoss(DisocclusionGramLoss):
    """Deprecated name of :class:`DisocclusionGramLoss`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            "`RevealedGramLoss` is now called `DisocclusionGramLoss`; the old name ends with the next version.",
            stacklevel=2,
        )
        super().__init__(*args, **kwargs)
