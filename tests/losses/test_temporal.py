import pytest
import torch

from nst_lightning.errors import InputError
from nst_lightning.losses import TemporalLoss
from tests.helpers import compute_term


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
