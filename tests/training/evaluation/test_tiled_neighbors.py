"""Nearest neighbors that are searched and compared tile by tile."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones.base import Backbone
from nst_lightning.data.transfer import StagePictures
from nst_lightning.losses import ContentLoss, GramLoss, Loss, NeighborLoss
from nst_lightning.losses.regional import RegionalLoss
from nst_lightning.training.evaluation.tiled import evaluate_tiled
from nst_lightning.training.objective import Objective
from tests.training.evaluation.test_tiled import NETWORKS, SHAPES, compare, create_pictures, draw, evaluate

SLIM = NETWORKS["SlimVGG19"]
JOINT = ["conv_1", "relu2_1", "conv_9"]


def create_neighbors(**options: Any) -> dict[str, Loss]:
    own = {"dimensions": 24, "every": 3} | options
    return {
        "content": ContentLoss(["conv_3"]),
        "joint": NeighborLoss(JOINT, 2.0, layer_weights=[1, 2, 0.5], **own),
        "layers": NeighborLoss(["conv_2", "conv_5", "conv_9"], layer_weights=[1, 2, 0.5], per_layer=True, **own),
        "style": GramLoss(["conv_1", "conv_4"], 10),
    }


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_neighbors_in_tiles_are_those_of_the_image(name: str, shape: tuple[int, int], size: int) -> None:
    compare(NETWORKS[name](), create_neighbors(), create_pictures(shape), size)


@pytest.mark.parametrize("options", [{"stride": 1}, {"stride": 3}, {"stride": 8}, {"stride": 24}, {"content_share": 0}])
def test_grids_of_any_stride_are_read_from_tiles(options: dict[str, Any]) -> None:
    compare(SLIM(), create_neighbors(**options), create_pictures((101, 133)), 40)


def test_positions_of_the_styles_are_chosen_from_tiles() -> None:
    compare(SLIM(), create_neighbors(style_positions=50), create_pictures((101, 133)), 40)


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_neighbors_of_parts_are_searched_in_tiles(shape: tuple[int, int], size: int) -> None:
    compare(SLIM(), create_neighbors(), create_pictures(shape, masked=True), size)
