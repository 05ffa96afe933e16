"""The network that is trained: a thin VGG-19 without readouts."""

from collections.abc import Sequence

from nst_lightning.backbones.slim import SLIM_DEPTHS
from nst_lightning.backbones.vgg import VGG
from nst_lightning.errors import InputError


class Student(VGG):
    """VGG-19 up to conv5_1 with other widths and the input normalization of the Oxford network.

    Args:
        widths: number of channels of each of the 13 convolutions.
        seed: seed of the random weights before initialization.

    Raises:
        InputError: there are not 13 positive widths.
    """

    depths = SLIM_DEPTHS

    def __init__(self, widths: Sequence[int], seed: int = 0) -> None:
        super().__init__(weights="random", preprocessing="oxford", seed=seed)
        if len(widths) != sum(SLIM_DEPTHS) or min(widths) < 1:
            raise InputError(f"Expected {sum(SLIM_DEPTHS)} positive `widths`, but got {list(widths)}.")
        self.widths = tuple(widths)

    def _widths(self) -> tuple[int, ...]:
        return self.widths
