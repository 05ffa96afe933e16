import pytest
import torch
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.losses import DisocclusionGramLoss, GramLoss
from tests.helpers import compute_term, random_tensor, set_target


def create_disocclusion_loss(disoccluded: Tensor) -> DisocclusionGramLoss:
    """Returns a loss with a target, for a frame with a disoccluded area."""
    loss = DisocclusionGramLoss(["conv_1"], weight=3.0)
    set_target(loss, {"conv_1": random_tensor(1, 4, 5, 5, seed=3)})
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
    features = random_tensor(1, 4, 6, 8)
    whole = GramLoss(["conv_1"], weight=3.0)
    set_target(whole, {"conv_1": random_tensor(1, 4, 5, 5, seed=3)})
    expected = compute_term(whole, {"conv_1": features[..., 6:]}) * 2 / 8
    torch.testing.assert_close(
        compute_term(create_disocclusion_loss(disoccluded), {"conv_1": features, "image": features}), expected
    )


def test_disocclusion_loss_has_a_gradient_only_in_the_area() -> None:
    disoccluded = torch.zeros(1, 1, 6, 8, dtype=torch.float64)
    disoccluded[..., 6:] = 1
    features = random_tensor(1, 4, 6, 8).requires_grad_()
    compute_term(create_disocclusion_loss(disoccluded), {"conv_1": features, "image": features}).backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert bool((features.grad[..., :6] == 0).all())
    assert bool((features.grad[..., 6:] != 0).all())


def test_disocclusion_loss_without_an_area_is_zero() -> None:
    features = random_tensor(1, 4, 6, 8)
    assert compute_term(create_disocclusion_loss(torch.zeros(1, 1, 6, 8)), {"conv_1": features, "image": features}) == 0
    loss = create_disocclusion_loss(torch.ones(1, 1, 6, 8, dtype=torch.float64))
    assert compute_term(loss, {"conv_1": features, "image": features}) > 0
    loss.set_previous_frames({})
    assert compute_term(loss, {"conv_1": features, "image": features}) == 0


def test_disocclusion_loss_without_an_area_has_a_gradient_of_zero() -> None:
    features = random_tensor(1, 4, 6, 8).requires_grad_()
    compute_term(create_disocclusion_loss(torch.zeros(1, 1, 6, 8)), {"conv_1": features, "image": features}).backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert not features.grad.any()


def test_disocclusion_loss_checks_the_number_of_frames() -> None:
    with pytest.raises(InputError, match="Expected `frames`"):
        DisocclusionGramLoss(["conv_1"], frames=0)
    assert DisocclusionGramLoss(["conv_1"], frames=5).offsets == (5,)
