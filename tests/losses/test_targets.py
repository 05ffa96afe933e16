"""The targets of every loss class are buffers that move with the loss and are not saved."""

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_lightning import losses
from nst_lightning.losses import (
    ContentLoss,
    DisocclusionGramLoss,
    FeatureLoss,
    GrainAwareTotalVariationLoss,
    GramLoss,
    HistogramLoss,
    LaplacianLoss,
    Loss,
    MeanStdLoss,
    NeighborLoss,
    RelaxedEMDLoss,
    RevealedGramLoss,
    SelfSimilarityLoss,
    SlicedWassersteinLoss,
    TemporalLoss,
    TotalVariationLoss,
    WassersteinLoss,
)
from tests.helpers import compute_term, random_features, random_image, set_target

LAYERS = ["conv_1", "conv_2"]


def create_deprecated_loss() -> Loss:
    with pytest.warns(UserWarning, match="RevealedGramLoss"):
        return RevealedGramLoss(LAYERS)


CREATE: dict[str, Callable[[], Loss]] = {
    "content": lambda: ContentLoss(LAYERS),
    "normalized content": lambda: ContentLoss(LAYERS, normalized=True),
    "self-similarity": lambda: SelfSimilarityLoss(LAYERS, samples=16),
    "laplacian": lambda: LaplacianLoss(pool=[1, 2]),
    "gram": lambda: GramLoss(LAYERS),
    "whitened gram": lambda: GramLoss(LAYERS, whitening=0.5),
    "disocclusion": lambda: DisocclusionGramLoss(LAYERS),
    "deprecated disocclusion": create_deprecated_loss,
    "wasserstein": lambda: WassersteinLoss(LAYERS),
    "sliced wasserstein": lambda: SlicedWassersteinLoss(LAYERS, points=16),
    "neighbor": lambda: NeighborLoss(LAYERS, per_layer=True),
    "histogram": lambda: HistogramLoss([*LAYERS, "image"], points=16),
    "mean and standard deviation": lambda: MeanStdLoss(LAYERS),
    "relaxed emd": lambda: RelaxedEMDLoss(LAYERS, samples=16, style_samples=20),
    "palette": lambda: RelaxedEMDLoss(["image"], cost="both", samples=16, style_samples=20),
    "grain-aware total variation": lambda: GrainAwareTotalVariationLoss(),
    "temporal": lambda: TemporalLoss(offsets=[1, 2]),
    "total variation": lambda: TotalVariationLoss(),
}


def create_loss_with_target(name: str) -> Loss:
    """Returns a loss that compares with random features and two previous frames."""
    loss = CREATE[name]()
    if isinstance(loss, FeatureLoss):
        set_target(loss, random_features(1) | {"image": torch.full((1, 3, 4, 4), 0.5)})
    mask = torch.ones(1, 1, 4, 4)
    mask[..., 2:] = 0
    loss.set_previous_frames({1: (random_image(4, 4, seed=1), mask), 2: (random_image(4, 4, seed=2), mask)})
    return loss


def create_inputs(dtype: torch.dtype) -> dict[str, Tensor]:
    inputs = random_features(2) | {"image": random_image(4, 4)}
    return {name: value.to(dtype) for name, value in inputs.items()}


def test_targets_are_tested_for_every_loss_class() -> None:
    classes = {getattr(losses, name) for name in losses.__all__}
    concrete = {kind for kind in classes if inspect.isclass(kind) and not inspect.isabstract(kind)}
    assert {type(create()) for create in CREATE.values()} == concrete


@pytest.mark.parametrize("name", CREATE)
def test_targets_are_not_in_the_state_dict(name: str) -> None:
    loss = create_loss_with_target(name)
    assert bool(list(loss.buffers())) is (name != "total variation")
    assert not any(isinstance(value, Tensor) for value in loss.state_dict().values())
    assert not any(isinstance(value, Tensor) for value in vars(loss).values())


@pytest.mark.parametrize("name", CREATE)
def test_targets_move_to_another_precision(name: str) -> None:
    loss = create_loss_with_target(name)
    before = compute_term(loss, create_inputs(torch.float32))
    assert before > 0
    loss.to(torch.float64)
    assert {buffer.dtype for buffer in loss.buffers()} <= {torch.float64}
    after = compute_term(loss, create_inputs(torch.float64))
    assert after.dtype == torch.float64
    torch.testing.assert_close(after, before.double(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CREATE)
def test_loss_of_bfloat16_features_is_float32_under_autocast(name: str) -> None:
    loss = create_loss_with_target(name)
    inputs = create_inputs(torch.bfloat16) | {"image": random_image(4, 4)}
    expected = compute_term(loss, {layer: value.float() for layer, value in inputs.items()})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = compute_term(loss, inputs)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("name", CREATE)
def test_targets_move_to_another_device(name: str) -> None:
    loss = create_loss_with_target(name).to("meta")
    assert {buffer.device.type for buffer in loss.buffers()} <= {"meta"}
