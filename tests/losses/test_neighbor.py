from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.data.transfer import StagePictures
from nst_lightning.errors import InputError
from nst_lightning.losses import NeighborLoss
from nst_lightning.losses.base import total
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.objective import Objective
from tests.helpers import TinyBackbone, random_image, smooth_image

LAYERS = ["conv_1", "conv_2", "conv_3"]
CONTENT, STYLE = smooth_image(24, 32, seed=1), random_image(28, 20, seed=2)


def create_objective(content: Tensor | None = CONTENT, *styles: Tensor, **options: Any) -> Objective:
    objective = Objective(TinyBackbone(), {"style": NeighborLoss(LAYERS, **options)})
    pictures = list(styles or [STYLE])
    objective.set_targets(StagePictures(content, pictures, [1 / len(pictures)] * len(pictures)))
    return objective


def compute(objective: Objective, image: Tensor) -> float:
    return float(total(objective(image)["style"]).detach())


def hypercolumns(image: Tensor, stride: int) -> Tensor:
    features, grid = TinyBackbone()(image, LAYERS), (image.shape[2] // stride, image.shape[3] // stride)
    parts = [functional.adaptive_avg_pool2d(value, grid) / value.shape[1] for value in features.values()]
    return torch.cat(parts, 1).flatten(2)[0].T


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_neighbor_loss_equals_a_naive_search(share: float) -> None:
    image = smooth_image(24, 32, seed=3)
    own, content, style = (hypercolumns(picture, 4).double() for picture in (image, CONTENT, STYLE))
    queries = (1 - share) * own + share * content
    distances = []
    for position in range(len(own)):
        cosines = functional.cosine_similarity(queries[position] - queries.mean(0), style - style.mean(0))
        distances.append(1 - functional.cosine_similarity(own[position], style[int(cosines.argmax())], dim=0))
    expected = 3 * torch.stack(distances).mean().item()
    assert compute(create_objective(content_share=share, weight=3.0), image) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("per_layer", [False, True])
def test_neighbor_loss_of_the_style_is_zero(per_layer: bool) -> None:
    objective = create_objective(None, per_layer=per_layer)
    assert compute(objective, STYLE) == pytest.approx(0, abs=1e-6)
    # Also for a permutation of its positions: a half turn.
    turned = create_objective(None, STYLE.flip(2, 3), STYLE, per_layer=per_layer)
    assert compute(turned, STYLE) == pytest.approx(0, abs=1e-6)
    assert compute(objective, CONTENT) > 0.01


def test_neighbor_loss_keeps_its_assignments_between_searches() -> None:
    objective = create_objective(every=3, content_share=0.0)
    loss = objective.named_losses["style"]
    assert isinstance(loss, NeighborLoss)
    found = []
    for step in range(6):
        loss.begin_evaluation(step)
        compute(objective, random_image(24, 32, seed=step))
        found.append(loss.get_extra_state()["hypercolumn"])
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[3], found[5])
    assert not torch.equal(found[2], found[3])


def test_gradient_is_that_of_fixed_assignments() -> None:
    objective = create_objective(every=100).double()
    objective.set_targets(StagePictures(CONTENT.double(), [STYLE.double()], [1.0]))
    loss, image = objective.named_losses["style"], random_image(8, 8, seed=5).double().requires_grad_()
    objective.set_targets(StagePictures(smooth_image(8, 8).double(), [STYLE.double()], [1.0]))
    loss.begin_evaluation(0)
    objective(image)
    loss.begin_evaluation(1)
    assert torch.autograd.gradcheck(lambda x: total(objective(x)["style"]), (image,))


def test_per_layer_form_averages_layers_and_may_stream() -> None:
    objective = create_objective(None, per_layer=True, layer_weights=[1.0, 2.0, 1.0])
    assert objective.named_losses["style"].layerwise
    assert list(objective(CONTENT)["style"]) == LAYERS
    single = [Objective(TinyBackbone(), {"style": NeighborLoss([layer], per_layer=True)}) for layer in LAYERS]
    for other in single:
        other.set_targets(StagePictures(None, [STYLE], [1.0]))
    means = [compute(other, CONTENT) for other in single]
    assert compute(objective, CONTENT) == pytest.approx((means[0] + 2 * means[1] + means[2]) / 4, rel=1e-5)


def test_style_positions_bound_the_candidates() -> None:
    objective = create_objective(None, style_positions=7)
    loss = objective.named_losses["style"]
    assert isinstance(loss, NeighborLoss)
    # Every fifth of 7 x 5 hypercolumns is kept.
    assert len(loss.target("conv_1")) == 7
    compute(objective, CONTENT)
    assert int(loss.get_extra_state()["hypercolumn"].max()) < 7


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"content_share": 1.5}, "content_share"),
        ({"every": 0}, "every"),
        ({"layer_weights": [1, 0, 1]}, "layer_weights"),
    ],
)
def test_options_are_checked(options: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=name):
        NeighborLoss(LAYERS, **options)


def test_neighbor_loss_refuses_recorded_evaluations() -> None:
    with pytest.raises(InputError, match="cuda_graphs"):
        StyleTransfer(TinyBackbone(), {"lines": NeighborLoss(LAYERS)}, cuda_graphs=True)
