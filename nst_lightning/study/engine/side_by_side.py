"""Runs with one plan as one run: their pictures, their objectives and their images, side by side."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.data.plan import Stage
from nst_lightning.data.transfer import StagePictures, TransferData
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.objective import Objective, Terms


class BatchData(TransferData):
    """The pictures of several runs with one plan.

    Args:
        items: the data of each, set up.
    """

    def __init__(self, items: Sequence[TransferData]) -> None:
        super().__init__()
        self.items = list(items)
        self.stages = self.items[0].stages
        self.iterations_per_step = self.items[0].iterations_per_step

    def setup(self, stage: str) -> None:
        """The items are set up."""

    def shape(self, stage: Stage) -> tuple[int, int]:
        """That of every item."""
        return self.items[0].shape(stage)

    def pictures(self, stage: Stage) -> StagePictures:
        """None that all have in common."""
        return StagePictures(None, [], [])


class BatchObjective(Objective):
    """The sum of the objectives of a batch's items, whose gradient in each image is that of its own.

    Args:
        items: with one network.
    """

    def __init__(self, items: Sequence[Objective]) -> None:
        terms = {f"{name}_{n}": term for n, item in enumerate(items) for name, term in item.named_losses.items()}
        super().__init__(items[0].backbone, terms)
        self.items = list(items)

    def compare(self, features: Features) -> Terms:
        """Computes the terms of each item; a name ends with the number of the item."""
        return {
            f"{name}_{n}": distances
            for n, item in enumerate(self.items)
            for name, distances in item.compare(features.select(n)).items()
        }


class BatchTransfer(StyleTransfer):
    """Images that are optimized side by side, each against its own targets with its own terms.

    The network sees all of them at once; that is all they share.

    Args:
        items: the modules of the runs, with one network.
        seeds: of their noise.
    """

    def __init__(self, items: Sequence[StyleTransfer], seeds: Sequence[int]) -> None:
        objective, first = BatchObjective([item.objective for item in items]), items[0]
        losses = objective.named_losses
        super().__init__(objective.backbone, losses, optimizer=first.optimizer, cuda_graphs=first.cuda_graphs)
        self.set_objective(objective)
        # A list, so that the images of the items are no parameters of this module.
        self.items = list(items)
        self.seeds = list(seeds)

    def check_data(self, data: TransferData) -> None:
        """Checks the pictures of each item."""
        assert isinstance(data, BatchData)
        for item, item_data in zip(self.items, data.items, strict=True):
            item.check_data(item_data)

    def first_image(self, data: TransferData) -> Tensor:
        """The images before the first step, ``(batch, 3, height, width)``."""
        assert isinstance(data, BatchData)
        images = []
        for item, its_data, seed in zip(self.items, data.items, self.seeds, strict=True):
            torch.manual_seed(seed)
            images.append(item.first_image(its_data))
        return torch.cat(images)

    def set_stage_targets(self, data: TransferData, stage: Stage, pictures: StagePictures) -> None:
        """Makes the terms of each item compare with its own pictures."""
        assert isinstance(data, BatchData)
        for item, its_data in zip(self.items, data.items, strict=True):
            item.to(self.device)
            item.set_targets(its_data.pictures(stage))
