import pytest
import torch
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.functional.pixels import mask_nearest_first, masked_squared_error, warping_error
from nst_lightning.losses import DisocclusionGramLoss, GramLoss, TemporalLoss
from tests.helpers import compute_term, set_target


def create_random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_masked_squared_error_equals_a_naive_loop() -> None:
    value, target, mask = (
        create_random(2, 3, 4, 5),
        create_random(2, 3, 4, 5, seed=1),
        create_random(2, 1, 4, 5, seed=2),
    )
    expected = 0.0
    for b in range(2):
        for c in range(3):
            for y in range(4):
                for x in range(5):
                    difference = value[b, c, y, x] - target[b, c, y, x]
                    expected += float(mask[b, 0, y, x] * difference**2) / (3 * 4 * 5)
    torch.testing.assert_close(masked_squared_error(value, target, mask), torch.tensor(expected, dtype=torch.float64))


def test_masked_squared_error_passes_gradcheck() -> None:
    value = create_random(1, 3, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: masked_squared_error(v, create_random(1, 3, 3, 4, seed=1), create_random(1, 1, 3, 4, seed=2)), value
    )


def test_masked_squared_error_with_a_full_mask_is_the_mean_squared_error() -> None:
    value, target = create_random(1, 3, 4, 5), create_random(1, 3, 4, 5, seed=1)
    found = masked_squared_error(value, target, torch.ones(1, 1, 4, 5, dtype=torch.float64))
    torch.testing.assert_close(found, torch.nn.functional.mse_loss(value, target))


def test_mask_nearest_first_equals_equation_9_of_ruder() -> None:
    masks = [create_random(1, 1, 4, 5, seed=seed) for seed in range(3)]
    chosen = mask_nearest_first(masks)
    for j in range(3):
        expected = (masks[j] - sum(chosen[:j], torch.zeros_like(masks[j]))).clamp(min=0)
        torch.testing.assert_close(chosen[j], expected)
    assert torch.equal(chosen[0], masks[0])
    whole = torch.ones(1, 1, 2, 2)
    assert [float(mask.sum()) for mask in mask_nearest_first([whole, whole, whole])] == [4, 0, 0]
    half = torch.tensor([[[[1.0, 0.0]]]])
    assert [mask.flatten().tolist() for mask in mask_nearest_first([half, torch.ones(1, 1, 1, 2)])] == [[1, 0], [0, 1]]


def test_warping_error_equals_a_masked_root_mean_square() -> None:
    image, warped, mask = (
        create_random(1, 3, 4, 5),
        create_random(1, 3, 4, 5, seed=1),
        (create_random(1, 1, 4, 5, seed=2) > 0.5).double(),
    )
    squares, pixels = warping_error(image, warped, mask)
    kept = (image - warped)[mask.expand(1, 3, 4, 5) > 0]
    torch.testing.assert_close((squares / pixels).sqrt(), kept.square().mean().sqrt())


def test_temporal_loss_gradient_is_zero_exactly_where_the_mask_is() -> None:
    loss = TemporalLoss(weight=7.0)
    mask = torch.zeros(1, 1, 4, 6)
    mask[..., :3] = 1
    image = torch.rand(1, 3, 4, 6, requires_grad=True)
    loss.set_previous_frames({1: (torch.zeros(1, 3, 4, 6), mask)})
    compute_term(loss, {"image": image}).backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert bool((image.grad[..., :3] != 0).all())
    assert bool((image.grad[..., 3:] == 0).all())
    torch.testing.assert_close(image.grad[..., :3], 7.0 * 2 * image.detach()[..., :3] / image.numel())


def test_temporal_loss_compares_each_pixel_with_the_nearest_frame() -> None:
    loss = TemporalLoss(weight=1.0, offsets=[4, 1])
    near, far = torch.rand(1, 3, 2, 4), torch.rand(1, 3, 2, 4)
    seen_near = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 1, 2, 4)
    seen_far = torch.tensor([1.0, 0.0, 1.0, 0.0]).expand(1, 1, 2, 4)
    loss.set_previous_frames({1: (near, seen_near), 2: (torch.rand(1, 3, 2, 4), seen_near), 4: (far, seen_far)})
    image = torch.rand(1, 3, 2, 4)
    expected = (image - near)[..., :2].square().sum() + (image - far)[..., 2:3].square().sum()
    torch.testing.assert_close(compute_term(loss, {"image": image}), expected / image.numel())


def test_temporal_loss_without_previous_frames_is_zero() -> None:
    loss = TemporalLoss()
    image = torch.rand(1, 3, 2, 2, requires_grad=True)
    assert compute_term(loss, {"image": image}) == 0
    loss.set_previous_frames({1: (torch.zeros(1, 3, 2, 2), torch.ones(1, 1, 2, 2))})
    assert compute_term(loss, {"image": image}) > 0
    loss.set_previous_frames({})
    assert compute_term(loss, {"image": image}) == 0


@pytest.mark.parametrize("offsets", [[], [0], [1, 1], [-1, 2]])
def test_temporal_loss_rejects_invalid_offsets(offsets: list[int]) -> None:
    with pytest.raises(InputError, match="different numbers of 1 or more"):
        TemporalLoss(offsets=offsets)


def create_disocclusion_loss(disoccluded: Tensor) -> DisocclusionGramLoss:
    """Returns a loss with a target, for a frame with a disoccluded area."""
    loss = DisocclusionGramLoss(["conv_1"], weight=3.0)
    set_target(loss, {"conv_1": create_random(1, 4, 5, 5, seed=3)})
    loss.set_previous_frames(
        {
            1: (torch.zeros(1), 1 - disoccluded * 0),
            8: (torch.zeros(1), 1 - disoccluded),
            9: (torch.zeros(1), 0 * disoccluded),
        }
    )
    return loss


def test_disocclusion_loss_equals_gram_loss_of_the_area_times_its_share() -> None:
    disoccluded = torch.zeros(1, 1, 6, 8, dtype=torch.float64)
    disoccluded[..., 6:] = 1
    features = create_random(1, 4, 6, 8)
    whole = GramLoss(["conv_1"], weight=3.0)
    set_target(whole, {"conv_1": create_random(1, 4, 5, 5, seed=3)})
    expected = compute_term(whole, {"conv_1": features[..., 6:]}) * 2 / 8
    torch.testing.assert_close(
        compute_term(create_disocclusion_loss(disoccluded), {"conv_1": features, "image": features}), expected
    )


def test_disocclusion_loss_has_a_gradient_only_in_the_area() -> None:
    disoccluded = torch.zeros(1, 1, 6, 8, dtype=torch.float64)
    disoccluded[..., 6:] = 1
    features = create_random(1, 4, 6, 8).requires_grad_()
    compute_term(create_disocclusion_loss(disoccluded), {"conv_1": features, "image": features}).backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert bool((features.grad[..., :6] == 0).all())
    assert bool((features.grad[..., 6:] != 0).all())


def test_disocclusion_loss_without_an_area_is_zero() -> None:
    features = create_random(1, 4, 6, 8)
    assert compute_term(create_disocclusion_loss(torch.zeros(1, 1, 6, 8)), {"conv_1": features, "image": features}) == 0
    loss = create_disocclusion_loss(torch.ones(1, 1, 6, 8, dtype=torch.float64))
    assert compute_term(loss, {"conv_1": features, "image": features}) > 0
    loss.set_previous_frames({})
    assert compute_term(loss, {"conv_1": features, "image": features}) == 0


def test_disocclusion_loss_checks_the_number_of_frames() -> None:
    with pytest.raises(InputError, match="Expected `frames`"):
        DisocclusionGramLoss(["conv_1"], frames=0)
    assert DisocclusionGramLoss(["conv_1"], frames=5).offsets == (5,)
