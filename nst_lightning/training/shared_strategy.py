"""Lightning's strategy for one image on several devices."""

from lightning.pytorch.strategies import DDPStrategy


class SharedImageStrategy(DDPStrategy):
    """DDP without the wrapper that averages gradients.

    Each process evaluates its share of the tiles of one image, and the evaluation itself sums the gradient; see
    :class:`nst_lightning.training.ranks.Ranks`. The wrapper would average gradients that are equal already, and keep
    the image of the first stage.
    """

    def configure_ddp(self) -> None:
        """Leaves the module as it is."""
