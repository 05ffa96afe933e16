"""The photographs as Lightning's data module."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import LightningDataModule

from nst_lightning.distill.photographs import Crops, find_photographs, split
from nst_lightning.errors import InputError


class Photographs(LightningDataModule):
    """Random crops of photographs; a tenth of the photographs is kept aside for measuring.

    Args:
        folders: folders of photographs.
        size: px of a crop.
        batch_size: crops a step.
        steps: steps an epoch, after each of which there is a checkpoint.
        measured_batches: batches of crops of the photographs that are kept aside.
        seed: of the crops.
    """

    def __init__(
        self,
        folders: Sequence[str],
        size: int = 128,
        batch_size: int = 8,
        steps: int = 250,
        measured_batches: int = 6,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.folders, self.size, self.batch_size = folders, size, batch_size
        self.steps, self.measured_batches, self.seed = steps, measured_batches, seed
        self.learned: tuple[Path, ...] = ()
        self.aside: tuple[Path, ...] = ()

    def setup(self, stage: str) -> None:
        """Finds the photographs."""
        self.learned, self.aside = split(find_photographs(self.folders))
        if not self.learned or not self.aside:
            raise InputError(f"Expected more photographs in {list(self.folders)}, of which a tenth is kept aside.")

    def first_crops(self) -> Crops:
        """Crops at which the student is started and calibrated; larger, since deep layers have few positions."""
        return Crops(self.learned, self.measured_batches, self.batch_size, 3 * self.size // 2, self.seed + 1_000_000)

    def train_dataloader(self) -> Crops:
        """Other crops in each epoch, and the same again when an epoch is resumed."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        return Crops(self.learned, self.steps, self.batch_size, self.size, self.seed + epoch * self.steps)

    def val_dataloader(self) -> Crops:
        """The same crops each time, of photographs that are not learned from, as they are."""
        seed = self.seed + 2_000_000
        return Crops(self.aside, self.measured_batches, self.batch_size, self.size, seed, jittered=False)
