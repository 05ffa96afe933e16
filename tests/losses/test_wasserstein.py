import pytest
import torch

from nst_lightning.backbones import SlimVGG19
from nst_lightning.errors import InputError
from nst_lightning.functional.wasserstein import directions
from nst_lightning.losses import SlicedWassersteinLoss, WassersteinLoss
from tests.tiny import smooth_image

LAYERS = ["conv_1", "conv_3"]


def given(seed: int, height: int = 20, width: int = 24) -> dict[str, torch.Tensor]:
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    backbone = SlimVGG19()
    backbone.build(LAYERS)
    return dict(backbone((smooth_image(height, width, seed) + noise) / 2, LAYERS))


@pytest.mark.parametrize("loss", [WassersteinLoss, SlicedWassersteinLoss])
def test_it_is_zero_at_the_style_and_not_elsewhere(loss: type[WassersteinLoss | SlicedWassersteinLoss]) -> None:
    term = loss(LAYERS, weight=3.0)
    term.add_target(given(1))
    # Resampling to the target's quantiles and back leaves a little.
    assert float(term(given(1))) < 1e-3
    assert float(term(given(2))) > 0.1


@pytest.mark.parametrize("loss", [WassersteinLoss, SlicedWassersteinLoss])
def test_a_style_may_have_another_size(loss: type[WassersteinLoss | SlicedWassersteinLoss]) -> None:
    term = loss(LAYERS)
    term.add_target(given(1, 31, 17))
    assert float(term(given(1))) < float(term(given(2)))


def test_sliced_against_sorting_by_hand() -> None:
    style, image = given(1), given(2)
    term = SlicedWassersteinLoss(["conv_1"], seed=5, points=20 * 24)
    term.add_target(style)
    along = directions(image["conv_1"].shape[1], 5)
    (mine, its) = ((along @ f["conv_1"][0].flatten(1)).sort().values for f in (image, style))
    torch.testing.assert_close(term(image), (mine - its).square().mean())


def test_moments_of_styles_are_blended() -> None:
    blend, first = WassersteinLoss(["conv_1"]), WassersteinLoss(["conv_1"])
    blend.add_target(given(1), 0.5)
    blend.add_target(given(2), 0.5)
    first.add_target(given(1))
    packed = (first.statistic(given(1)["conv_1"]) + first.statistic(given(2)["conv_1"])) / 2
    torch.testing.assert_close(blend._targets["conv_1"], packed)
    assert 0 < float(blend(given(2))) < float(first(given(2)))


def test_the_moments_of_a_read_out_need_no_features() -> None:
    backbone = SlimVGG19()
    backbone.build(LAYERS)
    features = backbone(smooth_image(20, 24), LAYERS)
    term = WassersteinLoss(LAYERS)
    for layer in LAYERS:
        torch.testing.assert_close(
            term.statistic_of(features, layer), term.statistic(features[layer]), rtol=1e-3, atol=1e-4
        )


def test_points() -> None:
    with pytest.raises(InputError, match="points"):
        SlicedWassersteinLoss(LAYERS, points=1)
