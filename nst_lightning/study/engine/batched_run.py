"""Data, objective and module of several runs that are painted as one batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.data.plan import Stage
from nst_lightning.data.transfer import StagePictures, TransferData
from nst_lightning.losses import Loss
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.objective import Objective


class BatchData(TransferData):
    """The data of several runs with one plan and one picture size.

    Args:
        items: data of each run, set up.
    """

    def __init__(self, items: Sequence[TransferData]) -> None:
        super().__init__()
        self.items = list(items)
        self.stages = self.items[0].stages
        self.iterations_per_step = self.items[0].iterations_per_step

    def setup(self, stage: str) -> None:
        """Does nothing: the items are set up."""

    def shape(self, stage: Stage) -> tuple[int, int]:
        """Height and width in px, the same for all items."""
        return self.items[0].shape(stage)

    def pictures(self, stage: Stage) -> StagePictures:
        """No pictures: each item has its own."""
        return StagePictures(None, [], [])


class BatchObjective(Objective):
    """The sum of several objectives, each of one image of the batch.

    The gradient in an image is the gradient of its own objective, since no term depends on two images.

    Args:
        items: objectives with one backbone.
    """

    def __init__(self, items: Sequence[Objective]) -> None:
        terms = {f"{name}_{n}": term for n, item in enumerate(items) for name, term in item.terms.items()}
        super().__init__(items[0].backbone, terms)
        self.items = list(items)

    def parts_of(self, features: Features) -> dict[str, dict[str, Tensor]]:
        """See :meth:`Objective.parts_of`; the number of the item is appended to each name."""
        return {
            f"{name}_{n}": parts
            for n, item in enumerate(self.items)
            for name, parts in item.parts_of(features.item(n)).items()
        }


class BatchTransfer(StyleTransfer):
    """A batch of images, each optimized with its own terms against its own targets.

    The images share nothing but the pass through the backbone.

    Args:
        items: modules of the runs, with one backbone.
        seeds: seed of each run.
    """

    def __init__(self, items: Sequence[StyleTransfer], seeds: Sequence[int]) -> None:
        objective, first = BatchObjective([item.objective for item in items]), items[0]
        terms = dict[str, Loss](objective.terms)
        super().__init__(objective.backbone, terms, optimizer=first.optimizer, cuda_graphs=first.cuda_graphs)
        self.objective = objective
        # In a list, the items are no submodules: their images are not parameters of this module.
        self.items = list(items)
        self.seeds = list(seeds)

    def first_image(self, data: TransferData) -> Tensor:
        """Returns the images before the first step, ``(batch, 3, height, width)`` in [0, 1]."""
        assert isinstance(data, BatchData)
        images = []
        for item, item_data, seed in zip(self.items, data.items, self.seeds, strict=True):
            torch.manual_seed(seed)
            images.append(item.first_image(item_data))
        return torch.cat(images)

    def enter_targets(self, data: TransferData, stage: Stage, pictures: StagePictures) -> None:
        """Sets the targets of each item from its own pictures."""
        assert isinstance(data, BatchData)
        for item, item_data in zip(self.items, data.items, strict=True):
            item.to(self.device)
            item.set_targets(item_data.pictures(stage))
