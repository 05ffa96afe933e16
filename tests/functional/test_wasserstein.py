import pytest
import torch
from torch import Tensor

from nst_lightning.functional.gram import mean_and_products, moments
from nst_lightning.functional.wasserstein import (
    MIN_NOISE,
    NOISE_SHARE,
    ChannelNormal,
    Normal,
    channel_variances,
    channel_wasserstein_2,
    covariance,
    draw_directions,
    project,
    wasserstein_2,
)


def create_features(seed: int, channels: int = 5, height: int = 6, width: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    values = torch.randn(channels, height * width, generator=generator, dtype=torch.float64)
    return (mixed @ values + torch.randn(channels, 1, generator=generator)).view(1, channels, height, width)


def compute_distance(first: Tensor, second: Tensor) -> Tensor:
    return wasserstein_2(*mean_and_products(moments(first)), Normal.from_moments(*mean_and_products(moments(second))))


def test_covariance_equals_torch() -> None:
    features = create_features(1)
    expected = torch.cov(features[0].flatten(1), correction=0)
    torch.testing.assert_close(covariance(*mean_and_products(moments(features)))[0], expected)


def test_normal_root_is_the_square_root_of_the_covariance() -> None:
    features = mean_and_products(moments(create_features(2)))
    normal = Normal.from_moments(*features)
    noise = NOISE_SHARE * covariance(*features)[0].trace() / 5
    torch.testing.assert_close(normal.noise, noise[None, None])
    torch.testing.assert_close(normal.root @ normal.root, covariance(*features) + noise * torch.eye(5))
    torch.testing.assert_close(normal.root, normal.root.mT)
    torch.testing.assert_close(torch.linalg.eigvalsh(normal.root).square(), normal.variances)


def test_wasserstein_2_equals_formula_with_eigenvalues_of_the_product() -> None:
    # S T has the eigenvalues of T^1/2 S T^1/2 and needs no square root.
    first, second = create_features(3), create_features(4)
    (m, s), (n, t) = ((x.mean((0, 2, 3)), covariance(*mean_and_products(moments(x)))[0]) for x in (first, second))
    s, t = (x + NOISE_SHARE * t.trace() / 5 * torch.eye(5) for x in (s, t))
    roots = torch.linalg.eigvals(s @ t).real.clamp_min(0).sqrt().sum()
    expected = ((m - n).square().sum() + s.trace() + t.trace() - 2 * roots) / 5
    torch.testing.assert_close(compute_distance(first, second), expected)


def test_wasserstein_2_of_commuting_covariances_sums_over_axes() -> None:
    one = torch.eye(3, dtype=torch.float64)[None]
    mean = torch.zeros(1, 3, dtype=torch.float64)
    wide, narrow = 4 * one, 1 * one
    expected = ((4 + NOISE_SHARE) ** 0.5 - (1 + NOISE_SHARE) ** 0.5) ** 2
    assert wasserstein_2(mean, wide, Normal.from_moments(mean, narrow)).item() == pytest.approx(expected)


def test_wasserstein_2_to_itself_is_zero() -> None:
    features = create_features(5)
    assert compute_distance(features, features).item() == pytest.approx(0, abs=1e-9)
    assert compute_distance(features, features.flip(2)).item() == pytest.approx(0, abs=1e-9)
    assert compute_distance(features, create_features(6)) > 0.1


def test_wasserstein_2_scales_with_the_square_of_the_features() -> None:
    first, second = create_features(13), create_features(14)
    torch.testing.assert_close(compute_distance(30 * first, 30 * second), 900 * compute_distance(first, second))


def test_wasserstein_2_has_a_gradient_for_a_constant_target() -> None:
    features = create_features(15).requires_grad_()
    actual = compute_distance(features, torch.zeros(1, 5, 6, 7))
    mean, variance = features.mean((0, 2, 3)), covariance(*mean_and_products(moments(features)))[0]
    roots = (torch.linalg.eigvalsh(variance) + MIN_NOISE).sqrt() - MIN_NOISE**0.5
    assert actual.item() == pytest.approx((mean.square().sum() + roots.square().sum()).item() / 5)
    (gradient,) = torch.autograd.grad(actual, features)
    assert bool(gradient.isfinite().all())


def test_wasserstein_2_passes_gradcheck() -> None:
    target = create_features(7)
    features = create_features(8).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: compute_distance(x, target), (features,))


def test_wasserstein_2_gradient_is_correct_for_equal_eigenvalues() -> None:
    mean = torch.zeros(1, 3, dtype=torch.float64)
    products = 2 * torch.eye(3, dtype=torch.float64)[None].requires_grad_()
    target = Normal.from_moments(mean, torch.eye(3, dtype=torch.float64)[None])
    wasserstein_2(mean, products, target).backward()  # type: ignore[no-untyped-call]
    assert torch.autograd.gradcheck(
        lambda diagonal: wasserstein_2(mean, torch.diag_embed(diagonal), target),
        (torch.full((1, 3), 2.0, dtype=torch.float64, requires_grad=True),),
    )


def test_wasserstein_2_keeps_weak_directions_next_to_a_strong_one() -> None:
    # Values as in deep layers: float32 loses a standard deviation of 1 in a product of variances of 70 x 70.
    generator = torch.Generator().manual_seed(12)
    turned = torch.linalg.qr(torch.randn(64, 64, generator=generator, dtype=torch.float64)).Q
    target_deviations, deviations = (torch.full((64,), weak, dtype=torch.float64) for weak in (1.0, 0.7))
    target_deviations[0] = deviations[0] = 70
    noise = NOISE_SHARE * target_deviations.square().mean()
    expected = (
        ((target_deviations.square() + noise).sqrt() - (deviations.square() + noise).sqrt()).square().mean().item()
    )
    products = [((turned * values.square()) @ turned.mT)[None].float() for values in (deviations, target_deviations)]
    actual = wasserstein_2(torch.zeros(1, 64), products[0], Normal.from_moments(torch.zeros(1, 64), products[1]))
    assert actual.dtype == torch.float32
    assert actual.item() == pytest.approx(expected, rel=0.01)


def test_wasserstein_2_gradient_is_finite_for_rounded_products() -> None:
    # A constant channel next to a strong one: its computed variance is negative by more than the noise.
    mean = torch.tensor([[100.0, 3.0]], dtype=torch.float64)
    products = torch.tensor([[[1.2e4, 300.0], [300.0, 9.0 - 2e-3]]], dtype=torch.float64).requires_grad_()
    target = Normal.from_moments(torch.zeros(1, 2), torch.eye(2)[None])
    (actual,) = torch.autograd.grad(wasserstein_2(mean, products, target), products)
    # The value for a channel that has only noise: (1 - sqrt(t / s)) / channels.
    assert actual[0, 1, 1].item() == pytest.approx((1 - ((1 + NOISE_SHARE) / NOISE_SHARE) ** 0.5) / 2, rel=1e-3)


def test_wasserstein_2_accepts_fewer_positions_than_channels() -> None:
    thin = create_features(9, channels=6, height=1, width=3).requires_grad_()
    compute_distance(thin, create_features(10, channels=6)).backward()  # type: ignore[no-untyped-call]
    assert thin.grad is not None
    assert bool(thin.grad.isfinite().all())


def test_project_multiplies_each_position_by_each_direction() -> None:
    features, unit_vectors = create_features(11), draw_directions(5, seed=3).double()
    rows = [[float(unit_vectors[k] @ position) for position in features[0].flatten(1).T] for k in range(5)]
    torch.testing.assert_close(project(features, unit_vectors)[0], torch.tensor(rows, dtype=torch.float64))
    assert project(features.bfloat16(), unit_vectors).dtype == torch.float32


def test_directions_are_seeded_unit_vectors() -> None:
    torch.testing.assert_close(draw_directions(7, 0).square().sum(1), torch.ones(7))
    assert torch.equal(draw_directions(7, 0), draw_directions(7, 0))
    assert not torch.equal(draw_directions(7, 0), draw_directions(7, 1))


def compute_channel_distance(first: Tensor, second: Tensor) -> Tensor:
    target = ChannelNormal.from_moments(*mean_and_products(moments(second)))
    return channel_wasserstein_2(*mean_and_products(moments(first)), target)


def test_channel_wasserstein_2_equals_a_naive_loop() -> None:
    first, second = create_features(16), create_features(17)
    noise = NOISE_SHARE * second[0].flatten(1).var(dim=1, correction=0).mean()
    expected = 0.0
    for x, s in zip(first[0], second[0], strict=True):
        deviations = [(values.var(correction=0) + noise).sqrt() for values in (x, s)]
        expected += float((x.mean() - s.mean()) ** 2 + (deviations[0] - deviations[1]) ** 2) / 5
    assert compute_channel_distance(first, second).item() == pytest.approx(expected)


def test_channel_wasserstein_2_passes_gradcheck() -> None:
    target = create_features(18)
    features = create_features(19).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: compute_channel_distance(x, target), (features,))


@pytest.mark.parametrize("seed", range(20, 24))
def test_channel_wasserstein_2_is_a_lower_bound_of_wasserstein_2(seed: int) -> None:
    first, second = create_features(seed), create_features(seed + 10)
    assert 0 < compute_channel_distance(first, second) < compute_distance(first, second)
    assert compute_channel_distance(first.flip(3), first).item() == pytest.approx(0, abs=1e-9)


def test_channel_wasserstein_2_has_a_gradient_for_constant_channels() -> None:
    features = torch.ones(1, 2, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(compute_channel_distance(features, torch.zeros(1, 2, 3, 3)), features)
    torch.testing.assert_close(gradient, torch.full((1, 2, 3, 3), 1 / 9))


def test_channel_variances_equal_torch() -> None:
    features = create_features(24)
    expected = features[0].flatten(1).var(dim=1, correction=0)
    torch.testing.assert_close(channel_variances(*mean_and_products(moments(features)))[0], expected)
