"""Runs with one plan as one run: their pictures, their objectives and their images, side by side."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.data.content_source import NoContent
from nst_lightning.data.plan import Stage
from nst_lightning.data.transfer import StagePictures, TransferData
from nst_lightning.losses import Loss
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.objective import Objective


class BatchData(TransferData):
    """The pictures of several runs with one plan.

    Args:
        items: the data of each, set up.
    """

    def __init__(self, items: Sequence[TransferData]) -> None:
        first = items[0]
        super().__init__(plan=first.plan)
        self.items = list(items)
        # All items have one shape; their pictures differ and stay with the items.
        self.source = NoContent(*first.canvas)


class BatchObjective(Objective):
    """The sum of the objectives of a batch's items, whose gradient in each image is that of its own.

    Args:
        items: with one network.
    """

    def __init__(self, items: Sequence[Objective]) -> None:
        terms = {f"{name}_{n}": term for n, item in enumerate(items) for name, term in item.terms.items()}
        super().__init__(items[0].backbone, terms)
        self.items = list(items)

    def parts_of(self, features: Features) -> dict[str, dict[str, Tensor]]:
        """See :meth:`Objective.parts_of`; the names have the number of the item behind them."""
        return {
            f"{name}_{n}": parts
            for n, item in enumerate(self.items)
            for name, parts in item.parts_of(features.item(n)).items()
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
        terms = dict[str, Loss](objective.terms)
        super().__init__(objective.backbone, terms, optimizer=first.optimizer, cuda_graphs=first.cuda_graphs)
        self.objective = objective
        # A list, so that the images of the items are no parameters of this module.
        self.items = list(items)
        self.seeds = list(seeds)

    def first_image(self, data: TransferData) -> Tensor:
        """The images before the first step, ``(batch, 3, height, width)``."""
        assert isinstance(data, BatchData)
        images = []
        for item, its_data, seed in zip(self.items, data.items, self.seeds, strict=True):
            torch.manual_seed(seed)
            images.append(item.first_image(its_data))
        return torch.cat(images)

    def enter_targets(self, data: TransferData, stage: Stage, pictures: StagePictures) -> None:
        """Makes the terms of each item compare with its own pictures."""
        assert isinstance(data, BatchData)
        for item, its_data in zip(self.items, data.items, strict=True):
            item.to(self.device)
            item.set_targets(its_data.pictures(stage))
