import pytest
import torch

from nst_lightning.backbones import SlimVGG19
from nst_lightning.backbones.features import Features
from nst_lightning.errors import InputError
from nst_lightning.functional.wasserstein import draw_directions
from nst_lightning.losses import SlicedWassersteinLoss, WassersteinLoss
from tests.tiny import set_target, smooth_image, term

LAYERS = ["conv_1", "conv_3"]


def given(seed: int, height: int = 20, width: int = 24) -> dict[str, torch.Tensor]:
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    backbone = SlimVGG19()
    backbone.build(LAYERS)
    return dict(backbone((smooth_image(height, width, seed) + noise) / 2, LAYERS))


@pytest.mark.parametrize("kind", [WassersteinLoss, SlicedWassersteinLoss])
def test_it_is_zero_at_the_style_and_not_elsewhere(kind: type[WassersteinLoss | SlicedWassersteinLoss]) -> None:
    loss = kind(LAYERS, weight=3.0)
    set_target(loss, given(1))
    # Resampling to the target's quantiles and back leaves a little.
    assert float(term(loss, given(1))) < 1e-3
    assert float(term(loss, given(2))) > 0.1


@pytest.mark.parametrize("kind", [WassersteinLoss, SlicedWassersteinLoss])
def test_a_style_may_have_another_size(kind: type[WassersteinLoss | SlicedWassersteinLoss]) -> None:
    loss = kind(LAYERS)
    set_target(loss, given(1, 31, 17))
    assert float(term(loss, given(1))) < float(term(loss, given(2)))


def test_sliced_against_sorting_by_hand() -> None:
    style, image = given(1), given(2)
    loss = SlicedWassersteinLoss(["conv_1"], seed=5, points=20 * 24)
    set_target(loss, style)
    along = draw_directions(image["conv_1"].shape[1], 5)
    (mine, its) = ((along @ f["conv_1"][0].flatten(1)).sort().values for f in (image, style))
    torch.testing.assert_close(term(loss, image), (mine - its).square().mean())


def test_moments_of_styles_are_blended() -> None:
    blend, first = WassersteinLoss(["conv_1"]), WassersteinLoss(["conv_1"])
    set_target(blend, (given(1), 0.5), (given(2), 0.5))
    set_target(first, given(1))
    packed = (first.target_statistics(given(1))["conv_1"] + first.target_statistics(given(2))["conv_1"]) / 2
    torch.testing.assert_close(blend.get_buffer("mean_conv_1"), packed[:, -1, :-1].double())
    assert 0 < float(term(blend, given(2))) < float(term(first, given(2)))


def test_the_moments_of_a_read_out_need_no_features() -> None:
    backbone = SlimVGG19()
    backbone.build(LAYERS)
    features = backbone(smooth_image(20, 24), LAYERS)
    loss = WassersteinLoss(LAYERS)
    for layer in LAYERS:
        plain = loss.statistic(Features({layer: features[layer]}), layer)
        torch.testing.assert_close(loss.statistic(features, layer), plain, rtol=1e-3, atol=1e-4)


def test_points() -> None:
    with pytest.raises(InputError, match="points"):
        SlicedWassersteinLoss(LAYERS, points=1)
