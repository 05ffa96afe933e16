"""Data, objective and module of several runs that are painted as one batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.data.content_source import NoContent
from nst_lightning.data.plan import Stage
from nst_lightning.data.transfer import StagePictures, TransferData
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.objective import Objective, Terms


class BatchData(TransferData):
    """The data of several runs with one plan and one picture size.

    Args:
        items: data of each run, set up.
    """

    def __init__(self, items: Sequence[TransferData]) -> None:
        first = items[0]
        super().__init__(plan=first.plan)
        self.items = list(items)
        # All items have one shape; their pictures differ and stay with the items.
        self.source = NoContent(*first.canvas)
        self.source.round_length = first.require_source().round_length


class BatchObjective(Objective):
    """The sum of several objectives, each of one image of the batch.

    The gradient in an image is the gradient of its own objective, since no term depends on two images.

    Args:
        items: objectives with one backbone.
    """

    def __init__(self, items: Sequence[Objective]) -> None:
        terms = {f"{name}_{n}": term for n, item in enumerate(items) for name, term in item.named_losses.items()}
        super().__init__(items[0].backbone, terms, items[0].tileable)
        self.items = list(items)

    def compare(self, features: Features) -> Terms:
        """Computes the terms of each item; a name ends with the number of the item."""
        return {
            f"{name}_{n}": distances
            for n, item in enumerate(self.items)
            for name, distances in item.compare(features.select(n)).items()
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
        losses = objective.named_losses
        super().__init__(
            objective.backbone,
            losses,
            optimizer=first.optimizer,
            cuda_graphs=first.cuda_graphs,
            strength=first.strength,
            tileable=first.tileable,
        )
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
        """Returns the images before the first step, ``(batch, 3, height, width)`` in [0, 1]."""
        assert isinstance(data, BatchData)
        images = []
        for item, item_data, seed in zip(self.items, data.items, self.seeds, strict=True):
            torch.manual_seed(seed)
            images.append(item.first_image(item_data))
        return torch.cat(images)

    def content_at(self, data: TransferData, stage: Stage) -> Tensor | None:
        """Returns the contents of the items at the size of a stage; None if one has none."""
        assert isinstance(data, BatchData)
        contents = [item_data.pictures(stage).start_content for item_data in data.items]
        known = [content for content in contents if content is not None]
        return torch.cat(known) if len(known) == len(contents) else None

    def set_stage_targets(self, data: TransferData, stage: Stage, pictures: StagePictures) -> None:
        """Sets the targets of each item from its own pictures."""
        assert isinstance(data, BatchData)
        for item, item_data in zip(self.items, data.items, strict=True):
            item.to(self.device)
            item.set_targets(item_data.pictures(stage))
