"""Nearest neighbors that are searched and compared tile by tile."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from nst_lightning.data.transfer import StagePictures
from nst_lightning.errors import InputError
from nst_lightning.losses import ContentLoss, GramLoss, Loss, NeighborLoss
from nst_lightning.losses.base import total
from nst_lightning.training.evaluation.tiled import evaluate_tiled
from nst_lightning.training.objective import Objective
from nst_lightning.training.tile_choice import check_tiling
from tests.training.evaluation.test_tiled import NETWORKS, SHAPES, compare, create_pictures, draw
from tests.training.process_group import join_processes

SLIM = NETWORKS["SlimVGG19"]


def create_neighbors(**options: Any) -> dict[str, Loss]:
    own = {"dimensions": 24, "style_positions": 1500} | options
    return {
        "content": ContentLoss(["conv_3"]),
        "joint": NeighborLoss(["conv_1", "relu2_1", "conv_9"], 2.0, layer_weights=[1, 2, 0.5], **own),
        "layers": NeighborLoss(["conv_2", "conv_5", "conv_9"], layer_weights=[1, 2, 0.5], per_layer=True, **own),
        "style": GramLoss(["conv_1", "conv_4"], 10),
    }


@pytest.mark.parametrize(
    ("name", "shape", "size"),
    [
        ("VGG19", (48, 41), 32),
        ("VGG19 with averages", (53, 61), 40),
        ("SlimVGG19", (96, 128), 32),
        ("SlimVGG19 with averages", (75, 150), 64),
    ],
)
def test_neighbors_in_tiles_are_those_of_the_image(name: str, shape: tuple[int, int], size: int) -> None:
    compare(NETWORKS[name](), create_neighbors(), create_pictures(shape), size)


@pytest.mark.parametrize("options", [{"stride": 1}, {"stride": 3}, {"stride": 24}, {"content_share": 0}])
def test_grids_of_any_stride_are_read_from_tiles(options: dict[str, Any]) -> None:
    compare(SLIM(), create_neighbors(**options), create_pictures((61, 79)), 40)


def compare_in_process(rank: int, store: str) -> None:
    with join_processes(rank, 2, store):
        compare(SLIM(), create_neighbors(), create_pictures((61, 79)), 40)
        compare(SLIM(), create_neighbors(), create_pictures((75, 90), masked=True), 90)


def test_several_processes_search_neighbors_in_their_tiles(tmp_path: Path) -> None:
    spawn(compare_in_process, (str(tmp_path / "store"),), nprocs=2)  # type: ignore[no-untyped-call]


def test_few_or_all_positions_of_the_styles_are_chosen_from_tiles() -> None:
    for count in (50, 65536):
        compare(SLIM(), create_neighbors(style_positions=count), create_pictures((40, 70)), 40)


@pytest.mark.parametrize(("shape", "size"), [SHAPES[1], SHAPES[3]])
def test_neighbors_of_parts_are_searched_in_tiles(shape: tuple[int, int], size: int) -> None:
    compare(SLIM(), create_neighbors(), create_pictures(shape, masked=True), size)


def test_assignments_are_kept_between_searches_and_read_by_whole_images() -> None:
    losses = create_neighbors(every=2)
    objective = Objective(SLIM(), losses).double()
    pictures = create_pictures((75, 100))
    objective.tile = 40
    objective.set_targets(pictures)
    joint, found = losses["joint"], []
    assert isinstance(joint, NeighborLoss)
    for step in range(3):
        joint.begin_evaluation(step)
        image = draw(1, 3, 75, 100, seed=step).requires_grad_()
        in_tiles = total(evaluate_tiled(objective, 40, image)["joint"])
        found.append(joint.get_extra_state()["hypercolumn"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])
    # A run that resumes without tiles uses the same assignments.
    whole = create_neighbors(every=2)
    other = Objective(SLIM(), whole).double()
    other.set_targets(pictures)
    loss = whole["joint"]
    assert isinstance(loss, NeighborLoss)
    loss.set_extra_state(joint.get_extra_state())
    loss.begin_evaluation(1)
    torch.testing.assert_close(total(other(image)["joint"]), in_tiles, rtol=1e-9, atol=0)
    assert torch.equal(loss.get_extra_state()["hypercolumn"], found[2])


def test_content_of_a_whole_image_is_forgotten_in_tiles() -> None:
    losses = create_neighbors()
    objective = Objective(SLIM(), losses).double()
    objective.set_targets(create_pictures((40, 32)))
    joint = losses["joint"]
    assert isinstance(joint, NeighborLoss)
    assert joint.layer_buffer("content", "conv_1") is not None
    objective.tile = 40
    objective.set_targets(create_pictures((75, 100)))
    assert joint.layer_buffer("content", "conv_1") is None


def test_neighbors_of_pixels_are_refused_in_tiles() -> None:
    loss = NeighborLoss(["image", "conv_2"])
    objective = Objective(SLIM(), {"lines": loss})
    with pytest.raises(InputError, match=r"the term 'lines' \(NeighborLoss\) needs the whole picture"):
        check_tiling(objective)
    check_tiling(Objective(SLIM(), create_neighbors()))


def test_neighbors_need_no_content() -> None:
    losses = create_neighbors()
    del losses["content"]
    objective = Objective(SLIM(), losses).double()
    image, style = draw(1, 3, 60, 70, seed=1), draw(1, 3, 50, 60, seed=2)
    values = []
    for tile in (None, 40):
        objective.tile = tile
        objective.set_targets(StagePictures(None, [style], [1.0]))
        terms = objective(image) if tile is None else evaluate_tiled(objective, tile, image)
        values.append([float(total(terms[name])) for name in losses])
    assert values[1] == pytest.approx(values[0], rel=1e-9)
