"""Lightning data module of the photographs."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import LightningDataModule

from nst_lightning.distill.crops import Crops, find_photographs, split_validation
from nst_lightning.errors import InputError


class Photographs(LightningDataModule):
    """Random crops of photographs; about a tenth of the photographs is held out for validation.

    Args:
        folders: folders of photographs.
        size: edge of a crop in px.
        batch_size: number of crops per step.
        steps: number of steps per epoch; a checkpoint follows each epoch.
        measured_batches: number of batches for validation, and for initialization and calibration.
        seed: seed of the crops.
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
        self.training_paths: tuple[Path, ...] = ()
        self.validation_paths: tuple[Path, ...] = ()

    def setup(self, stage: str) -> None:
        """Finds the photographs and splits them.

        Args:
            stage: Lightning's name of the stage; every stage needs the same.

        Raises:
            InputError: there are too few photographs to hold some out.
        """
        self.training_paths, self.validation_paths = split_validation(find_photographs(self.folders))
        if not self.training_paths or not self.validation_paths:
            count = len(self.training_paths) + len(self.validation_paths)
            raise InputError(
                f"Expected enough photographs to hold out about a tenth for validation, but got {count} in "
                f"{list(self.folders)}: add photographs."
            )

    def first_crops(self) -> Crops:
        """Returns the training crops for initialization and calibration.

        They are 1.5 times as large as those of the training, because deep layers have few positions.
        """
        # The seed is far from those of the training steps.
        size, seed = 3 * self.size // 2, self.seed + 1_000_000
        return Crops(self.training_paths, self.measured_batches, self.batch_size, size, seed)

    def train_dataloader(self) -> Crops:
        """Returns the crops of the current epoch, which a resumed epoch repeats."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        return Crops(self.training_paths, self.steps, self.batch_size, self.size, self.seed + epoch * self.steps)

    def val_dataloader(self) -> Crops:
        """Returns crops of the validation photographs, unaltered and the same in each epoch."""
        seed = self.seed + 2_000_000
        return Crops(self.validation_paths, self.measured_batches, self.batch_size, self.size, seed, is_jittered=False)
