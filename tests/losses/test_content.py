import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones import SlimVGG19
from nst_lightning.errors import InputError
from nst_lightning.functional.sampling import draw_positions
from nst_lightning.losses import ContentLoss, FeatureLoss, LaplacianLoss, SelfSimilarityLoss
from tests.helpers import compute_term, random_features, random_image, random_tensor, set_target, smooth_image


def test_content_loss_equals_the_weighted_mean_squared_error() -> None:
    loss = ContentLoss(["conv_1", "conv_2"], weight=3.0, layer_weights=[1.0, 0.5])
    value, target = random_features(0), random_features(1)
    set_target(loss, target)
    expected = sum(
        3.0 * w * ((value[k] - target[k]) ** 2).sum() / value[k].numel() for k, w in (("conv_1", 1.0), ("conv_2", 0.5))
    )
    torch.testing.assert_close(compute_term(loss, value), expected)


def test_normalized_content_loss_equals_the_mean_of_one_minus_cosine() -> None:
    loss = ContentLoss(["conv_1", "conv_2"], weight=3.0, normalized=True)
    value, target = ({k: 10 * v for k, v in random_features(seed).items()} for seed in (0, 1))
    set_target(loss, target)
    expected = sum(3.0 * (1 - functional.cosine_similarity(value[k], target[k])).mean() for k in value)
    torch.testing.assert_close(compute_term(loss, value), expected, rtol=1e-3, atol=0)


def test_normalized_content_loss_ignores_contrast() -> None:
    target = random_features(1)
    plain, normalized = ContentLoss(["conv_1"]), ContentLoss(["conv_1"], normalized=True)
    for loss in (plain, normalized):
        set_target(loss, target)
    contrast = {"conv_1": 3 * target["conv_1"]}
    assert compute_term(plain, contrast) > 1
    assert compute_term(normalized, contrast) < 1e-4


def naive_self_similarity(rows: Tensor) -> Tensor:
    distances = torch.stack([1 - functional.cosine_similarity(rows, row[None]) for row in rows])
    return distances / distances.sum(0)


def test_self_similarity_loss_equals_a_naive_loop() -> None:
    loss = SelfSimilarityLoss(["conv_1"], weight=3.0, samples=8, seed=2)
    value, target = ({"conv_1": 10 * random_tensor(1, 3, 64, 64, seed=seed)} for seed in (0, 1))
    set_target(loss, target)
    positions = draw_positions(8, 2).double() * 2 - 1
    rows = [
        functional.grid_sample(
            features["conv_1"], positions.flip(1)[None, None], padding_mode="border", align_corners=False
        )[0, :, 0].mT
        for features in (value, target)
    ]
    expected = 3.0 * (naive_self_similarity(rows[0]) - naive_self_similarity(rows[1])).abs().sum() / 8
    torch.testing.assert_close(compute_term(loss, value), expected, rtol=1e-3, atol=0)


def test_self_similarity_loss_ignores_what_things_look_like() -> None:
    target = random_features(1)["conv_1"]
    plain, similarity = ContentLoss(["conv_1"]), SelfSimilarityLoss(["conv_1"], samples=32)
    for loss in (plain, similarity):
        set_target(loss, {"conv_1": target})
    # Other channels for the same things: a rotation of the vectors.
    recolored = {"conv_1": -4 * target.roll(1, 1)}
    assert compute_term(plain, recolored) > 1
    assert compute_term(similarity, recolored) < 0.05
    assert 0.2 < compute_term(similarity, random_features(2)) < 2


def test_self_similarity_loss_samples_readouts() -> None:
    backbone = SlimVGG19()
    backbone.build(["conv_3", "relu_5"])
    features = backbone(smooth_image(32, 40), ["conv_3", "relu_5"])
    positions = draw_positions(20, 0)
    for layer in ("conv_3", "relu_5"):
        actual = features.sample(layer, positions)
        expected = SelfSimilarityLoss([layer], samples=20).statistic(features, layer)
        plain = {layer: features[layer]}
        torch.testing.assert_close(actual.shape[-1], plain[layer].shape[1])
        loss = SelfSimilarityLoss([layer], samples=20)
        torch.testing.assert_close(loss.target_statistics(plain)[layer], expected, rtol=1e-3, atol=1e-4)


def naive_laplacian_error(value: Tensor, target: Tensor, length: int) -> Tensor:
    kernel = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]).expand(1, 3, 3, 3)
    maps = [functional.conv2d(functional.avg_pool2d(image, length), kernel) for image in (value, target)]
    return (maps[0] - maps[1]).square().mean()


def test_laplacian_loss_equals_a_convolution() -> None:
    loss = LaplacianLoss(weight=3.0, pool=[1, 2], pool_weights=[1.0, 0.5])
    # Flat at the edges, where the convolution has no values and the loss repeats the edge.
    value, target = (functional.pad(random_image(12, 16, seed), (4, 4, 4, 4)) for seed in (0, 1))
    set_target(loss, {"image": target})
    expected = sum(
        3.0 * weight * naive_laplacian_error(value, target, length) * (size - 2) * (width - 2) / (size * width)
        for weight, length, size, width in ((1.0, 1, 20, 24), (0.5, 2, 10, 12))
    )
    torch.testing.assert_close(compute_term(loss, {"image": value}), torch.as_tensor(expected))


def test_laplacian_loss_ignores_brightness_and_color() -> None:
    content = random_image(16, 16)
    loss = LaplacianLoss()
    set_target(loss, {"image": content})
    assert compute_term(loss, {"image": content + torch.tensor([0.3, -0.2, 0.1])[:, None, None]}) < 1e-9
    assert compute_term(loss, {"image": content.roll(1, 1)}) < 1e-9
    assert compute_term(loss, {"image": random_image(16, 16, seed=1)}) > 0.01


@pytest.mark.parametrize(
    "loss", [SelfSimilarityLoss(["image"]), LaplacianLoss(pool=[1, 4]), ContentLoss(["image"], normalized=True)]
)
def test_content_losses_are_zero_at_the_content_with_a_finite_gradient(loss: FeatureLoss) -> None:
    # A black area has no direction.
    content = smooth_image(24, 32)
    content[..., :12, :] = 0
    set_target(loss, {"image": content})
    image = content.clone().requires_grad_()
    distance = compute_term(loss, {"image": image})
    assert distance.item() == pytest.approx(0, abs=1e-6)
    (gradient,) = torch.autograd.grad(distance, image)
    assert bool(gradient.isfinite().all())


def test_content_losses_reject_invalid_arguments() -> None:
    with pytest.raises(InputError, match="`samples` to be 2 or more, but got 1"):
        SelfSimilarityLoss(["conv_1"], samples=1)
    with pytest.raises(InputError, match=r"`pool` to be lengths of 1 px or more, but got \[4, 0\]"):
        LaplacianLoss(pool=[4, 0])
    with pytest.raises(InputError, match="for each of the 1 lengths in `pool`, but got 2"):
        LaplacianLoss(pool_weights=[1.0, 2.0])
    with pytest.raises(InputError, match="`pool_weights` to be 0 or more"):
        LaplacianLoss(pool_weights=[-1.0])
