import pytest
import torch

from nst_lightning.backbones import SlimVGG19
from nst_lightning.backbones.features import Features
from nst_lightning.errors import InputError
from nst_lightning.functional.wasserstein import directions
from nst_lightning.losses import SlicedWassersteinLoss, WassersteinLoss
from tests.helpers import compute_term, set_target, smooth_image

LAYERS = ["conv_1", "conv_3"]


def create_features(seed: int, height: int = 20, width: int = 24) -> dict[str, torch.Tensor]:
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    backbone = SlimVGG19()
    backbone.build(LAYERS)
    return dict(backbone((smooth_image(height, width, seed) + noise) / 2, LAYERS))


@pytest.mark.parametrize("kind", [WassersteinLoss, SlicedWassersteinLoss])
def test_wasserstein_loss_is_zero_only_at_the_style(kind: type[WassersteinLoss | SlicedWassersteinLoss]) -> None:
    loss = kind(LAYERS, weight=3.0)
    set_target(loss, create_features(1))
    # Resampling to the target's quantiles and back has a small error.
    assert float(compute_term(loss, create_features(1))) < 1e-3
    assert float(compute_term(loss, create_features(2))) > 0.1


@pytest.mark.parametrize("kind", [WassersteinLoss, SlicedWassersteinLoss])
def test_wasserstein_loss_accepts_a_style_of_another_size(kind: type[WassersteinLoss | SlicedWassersteinLoss]) -> None:
    loss = kind(LAYERS)
    set_target(loss, create_features(1, 31, 17))
    assert float(compute_term(loss, create_features(1))) < float(compute_term(loss, create_features(2)))


def test_sliced_wasserstein_loss_equals_sorting_by_hand() -> None:
    style, image = create_features(1), create_features(2)
    loss = SlicedWassersteinLoss(["conv_1"], seed=5, points=20 * 24)
    set_target(loss, style)
    unit_vectors = directions(image["conv_1"].shape[1], 5)
    (projections, target_projections) = (
        (unit_vectors @ f["conv_1"][0].flatten(1)).sort().values for f in (image, style)
    )
    torch.testing.assert_close(compute_term(loss, image), (projections - target_projections).square().mean())


def test_wasserstein_loss_blends_moments_of_styles() -> None:
    blend, first = WassersteinLoss(["conv_1"]), WassersteinLoss(["conv_1"])
    set_target(blend, (create_features(1), 0.5), (create_features(2), 0.5))
    set_target(first, create_features(1))
    packed = (
        first.target_statistics(create_features(1))["conv_1"] + first.target_statistics(create_features(2))["conv_1"]
    ) / 2
    torch.testing.assert_close(blend.get_buffer("mean_conv_1"), packed[:, -1, :-1].double())
    assert 0 < float(compute_term(blend, create_features(2))) < float(compute_term(first, create_features(2)))


def test_wasserstein_loss_computes_moments_of_readouts_without_features() -> None:
    backbone = SlimVGG19()
    backbone.build(LAYERS)
    features = backbone(smooth_image(20, 24), LAYERS)
    loss = WassersteinLoss(LAYERS)
    for layer in LAYERS:
        plain = loss.statistic(Features({layer: features[layer]}), layer)
        torch.testing.assert_close(loss.statistic(features, layer), plain, rtol=1e-3, atol=1e-4)


def test_sliced_wasserstein_loss_rejects_one_point() -> None:
    with pytest.raises(InputError, match="points"):
        SlicedWassersteinLoss(LAYERS, points=1)
