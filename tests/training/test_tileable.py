"""Objectives and sizes of images that tile."""

from typing import Any

import pytest
import torch

from nst_lightning.backbones import VGG19, SlimVGG19
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import StagePictures, TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture
from nst_lightning.losses import (
    ContentLoss,
    GrainAwareTotalVariationLoss,
    GramLoss,
    LaplacianLoss,
    Loss,
    NeighborLoss,
    TotalVariationLoss,
    WassersteinLoss,
)
from nst_lightning.losses.base import total
from nst_lightning.training.evaluation.select import select_evaluation
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.objective import Objective
from nst_lightning.training.tileable import nearest_tile
from tests.helpers import TinyBackbone, random_tensor, smooth_image

# Without grain, so that a GrainAwareTotalVariationLoss counts.
STYLE, IMAGE = smooth_image(40, 56, seed=1).double(), random_tensor(1, 3, 64, 96, seed=2)
PICTURES = StagePictures(None, [STYLE], [1.0])


def create_losses() -> dict[str, Loss]:
    return {
        "style": GramLoss(["conv_1", "relu_3", "conv_9", "conv_5@0.5"], 1e3, whitening=0.5),
        "moments": WassersteinLoss(["conv_2", "image"]),
        "smooth": TotalVariationLoss(exponent=1.5),
        "grain": GrainAwareTotalVariationLoss(),
    }


def create_objective(backbone: SlimVGG19 | VGG19, losses: dict[str, Loss], tileable: bool) -> Objective:
    objective = Objective(backbone, losses, tileable).double()
    objective.set_targets(PICTURES)
    return objective


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", ["slim", "vgg19"])
def test_shifted_tile_has_the_same_objective_and_the_shifted_gradient(name: str, checkpointing: bool) -> None:
    backbone = SlimVGG19 if name == "slim" else VGG19
    options: dict[str, Any] = {} if name == "slim" else {"weights": "random", "pooling": "avg"}
    objective = create_objective(backbone(checkpointing=checkpointing, **options), create_losses(), tileable=True)
    for evaluate in (objective, select_evaluation(objective)):
        values, gradients = [], []
        for picture in (IMAGE, IMAGE.roll((16, 48), (2, 3))):
            image = picture.clone().requires_grad_()
            values.append(total({name: total(layers) for name, layers in evaluate(image).items()}))
            gradients.append(torch.autograd.grad(values[-1], image)[0])
        torch.testing.assert_close(*values, rtol=1e-9, atol=0)
        torch.testing.assert_close(gradients[1], gradients[0].roll((16, 48), (2, 3)), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_selected_evaluation_of_a_tile_equals_the_plain_one(checkpointing: bool) -> None:
    objective = create_objective(SlimVGG19(checkpointing=checkpointing), create_losses(), tileable=True)
    expected, actual = objective(IMAGE), select_evaluation(objective)(IMAGE)
    assert {name: list(layers) for name, layers in actual.items()} == {
        name: list(layers) for name, layers in expected.items()
    }
    for name, layers in expected.items():
        torch.testing.assert_close(actual[name], layers, rtol=1e-9, atol=0)


def test_image_that_does_not_tile_depends_on_shifts() -> None:
    objective = create_objective(SlimVGG19(), create_losses(), tileable=False)
    before, after = (objective(picture) for picture in (IMAGE, IMAGE.roll((16, 48), (2, 3))))
    for name in ("style", "smooth", "grain"):
        assert abs(float(total(before[name]) / total(after[name])) - 1) > 1e-6, name


def test_pictures_are_no_tiles() -> None:
    # The content of a ramp has large differences between opposite edges, which must not count.
    ramp = torch.linspace(0, 1, 64, dtype=torch.float64).expand(1, 3, 64, 64)
    backbone = SlimVGG19()
    objective = Objective(
        backbone, {"content": ContentLoss(["conv_2"]), "lines": LaplacianLoss(pool=(1,))}, tileable=True
    ).double()
    objective.set_targets(StagePictures(ramp, [], []))
    content, lines = (objective.named_losses[name] for name in ("content", "lines"))
    assert isinstance(content, ContentLoss)
    assert isinstance(lines, LaplacianLoss)
    expected = backbone.with_padding("replicate")(ramp, ["conv_2"])["conv_2"]
    torch.testing.assert_close(content.target("conv_2"), expected)
    assert lines.target("image").abs().max() < 0.1
    assert total(objective(ramp)["lines"]) > 0.1


def test_neighbors_of_a_tile_are_resampled_across_the_edge() -> None:
    objective = Objective(
        SlimVGG19(), {"style": NeighborLoss(["conv_2", "conv_10"], stride=2, content_share=0)}, tileable=True
    ).double()
    objective.set_targets(PICTURES)
    distances = []
    for picture in (IMAGE, IMAGE.roll((16, 48), (2, 3))):
        # At the start of a stage, neighbors are assigned again.
        objective.named_losses["style"].begin_stage()
        objective.named_losses["style"].begin_evaluation(0)
        distances.append(total(objective(picture)["style"]))
    torch.testing.assert_close(*distances, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("length", "multiple", "expected"), [(500, 8, 504), (499, 8, 496), (500, 16, 496), (1, 8, 8), (37, 1, 37)]
)
def test_nearest_tile_is_the_nearest_multiple(length: int, multiple: int, expected: int) -> None:
    assert nearest_tile(length, lambda candidate: candidate % multiple == 0) == expected


def test_layers_that_fit_no_length_are_refused() -> None:
    with pytest.raises(InputError, match="no length near 100 px fits them all"):
        nearest_tile(100, lambda length: False)


def shapes_of(losses: dict[str, Loss], tileable: bool = True) -> list[tuple[int, int]]:
    data = TransferData.from_pictures(
        Picture(smooth_image(75, 100)), [Picture(smooth_image(30, 40))], Plan(size=150, ladder="octaves", smallest=60)
    )
    data.setup("fit")
    module = StyleTransfer(SlimVGG19(), losses, tileable=tileable)
    module.check_data(data)
    for stage in data.stages:
        content = data.pictures(stage).content
        assert content is not None
        assert content.shape[-2:] == data.shape(stage)
    assert module.first_image(data).shape[-2:] == data.shape(data.stages[0])
    return [data.shape(stage) for stage in data.stages]


def test_shapes_of_all_stages_are_multiples_of_what_layers_and_terms_need() -> None:
    assert shapes_of({"style": GramLoss(["conv_10"])}, tileable=False) == [(56, 75), (112, 150)]
    assert shapes_of({"style": GramLoss(["conv_10"])}) == [(56, 72), (112, 152)]
    assert shapes_of({"style": GramLoss(["conv_13"])}) == [(64, 80), (112, 144)]
    assert shapes_of({"style": GramLoss(["conv_2"])}) == [(56, 75), (112, 150)]
    assert shapes_of({"style": GramLoss(["conv_2"]), "lines": LaplacianLoss(pool=(10,))}) == [(60, 80), (110, 150)]
    assert shapes_of({"style": GramLoss(["conv_10", "conv_10@0.5"])}) == [(64, 80), (112, 144)]


def test_network_without_circular_padding_is_refused() -> None:
    for loss in (GramLoss(["conv_1"]), NeighborLoss(["conv_1"])):
        with pytest.raises(InputError, match="Expected a network that can pad circularly"):
            StyleTransfer(TinyBackbone(), {"style": loss}, tileable=True)
