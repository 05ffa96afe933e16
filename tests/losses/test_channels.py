import pytest
import torch
from torch import Tensor

from nst_lightning.backbones import SlimVGG19
from nst_lightning.errors import InputError
from nst_lightning.losses import HistogramLoss, MeanStdLoss, WassersteinLoss
from tests.helpers import compute_term, random_features, random_image, set_target, smooth_image


def replace_by_quantiles(value: Tensor, style: Tensor) -> Tensor:
    """Replaces each value of a channel by the style's value of the same rank."""
    result = torch.empty_like(value)
    for number, (channel, style_channel) in enumerate(zip(value[0], style[0], strict=True)):
        ordered = sorted(style_channel.flatten().tolist())
        ranks = channel.flatten().argsort().argsort()
        result[0, number] = torch.tensor([ordered[int(rank)] for rank in ranks]).view_as(channel)
    return result


def test_histogram_loss_compares_values_with_those_of_the_same_rank() -> None:
    value, style = random_features(0), random_features(1)
    loss = HistogramLoss(["conv_1"], weight=3.0, points=16)
    set_target(loss, style)
    image = value["conv_1"].requires_grad_()
    distance = compute_term(loss, {"conv_1": image})
    matched = replace_by_quantiles(image.detach(), style["conv_1"])
    torch.testing.assert_close(distance, 3.0 * (image - matched).square().mean())
    # No gradient passes through the matched values.
    (gradient,) = torch.autograd.grad(distance, image)
    torch.testing.assert_close(gradient, 3.0 * 2 * (image.detach() - matched) / image.numel())


def test_histogram_loss_ignores_places_and_the_size_of_the_style() -> None:
    style = smooth_image(32, 40)
    loss = HistogramLoss(["image"])
    set_target(loss, {"image": style})
    assert compute_term(loss, {"image": style.flip(3).roll(5, 2)}) < 1e-6
    assert compute_term(loss, {"image": smooth_image(16, 20)}) < 1e-3
    assert compute_term(loss, {"image": random_image(16, 20)}) > 1e-2


def test_histogram_loss_sees_what_mean_and_standard_deviation_do_not() -> None:
    style = {"conv_1": torch.tensor([-1.0, -1.0, 1.0, 1.0]).view(1, 1, 2, 2)}
    # Mean 0 and standard deviation 1 as well.
    image = {"conv_1": torch.tensor([-(2**0.5), 0.0, 0.0, 2**0.5]).view(1, 1, 2, 2)}
    histogram, moments = HistogramLoss(["conv_1"], points=4), MeanStdLoss(["conv_1"])
    for loss in (histogram, moments):
        set_target(loss, style)
    assert compute_term(histogram, image) > 0.1
    assert compute_term(moments, image) < 1e-6


def test_histogram_loss_blends_quantiles() -> None:
    loss = HistogramLoss(["conv_1"], points=16)
    first, second = (loss.target_statistics(random_features(seed))["conv_1"] for seed in (1, 2))
    loss.set_target({"conv_1": loss.blend_statistics([first, second], [0.25, 0.75])})
    torch.testing.assert_close(loss.target("conv_1"), 0.25 * first + 0.75 * second)


def test_histogram_loss_rejects_one_point() -> None:
    with pytest.raises(InputError, match="`points` to be 2 or more, but got 1"):
        HistogramLoss(["conv_1"], points=1)


def test_mean_std_loss_equals_the_formula() -> None:
    loss = MeanStdLoss(["conv_1", "conv_2"], weight=3.0, layer_weights=[1.0, 0.5])
    value, style = random_features(0), random_features(1)
    set_target(loss, style)
    expected = 0.0
    for layer, weight in (("conv_1", 1.0), ("conv_2", 0.5)):
        for x, s in zip(value[layer][0], style[layer][0], strict=True):
            errors = (x.mean() - s.mean()) ** 2 + (x.std(correction=0) - s.std(correction=0)) ** 2
            expected += 3.0 * weight * float(errors) / len(value[layer][0])
    assert compute_term(loss, value).item() == pytest.approx(expected, rel=5e-3)


def test_mean_std_loss_is_zero_for_moved_positions_and_below_the_wasserstein_loss() -> None:
    style, image = random_features(1), random_features(2)
    channels, normal = MeanStdLoss(["conv_1", "conv_2"]), WassersteinLoss(["conv_1", "conv_2"])
    for loss in (channels, normal):
        set_target(loss, style)
    assert compute_term(channels, {layer: value.flip(2) for layer, value in style.items()}) < 1e-6
    assert 0.01 < compute_term(channels, image) < compute_term(normal, image)


def test_mean_std_loss_blends_moments() -> None:
    loss = MeanStdLoss(["conv_1"])
    # Two flat styles: their blend has both colors, so it is not flat.
    statistics = [loss.target_statistics({"conv_1": torch.full((1, 1, 2, 2), v)})["conv_1"] for v in (0.0, 2.0)]
    loss.set_target({"conv_1": loss.blend_statistics(statistics, [0.5, 0.5])})
    assert loss.get_buffer("mean_conv_1").item() == pytest.approx(1)
    assert loss.get_buffer("deviation_conv_1").item() == pytest.approx(1, rel=1e-3)


def test_mean_std_loss_computes_moments_of_readouts_without_features() -> None:
    backbone, layers = SlimVGG19(), ["conv_1", "relu_3"]
    backbone.build(layers)
    style, image = (backbone(smooth_image(24, 32, seed), layers) for seed in (0, 1))
    loss = MeanStdLoss(layers)
    set_target(loss, style)
    plain = compute_term(loss, {layer: image[layer] for layer in layers})
    torch.testing.assert_close(compute_term(loss, image), plain, rtol=1e-3, atol=1e-4)
