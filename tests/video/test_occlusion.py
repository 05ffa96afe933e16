import torch
from torch.nn import functional

from nst_lightning.video.occlusion import estimate_reliability, find_disocclusions, find_motion_boundaries
from tests.video.motion import CLIP, create_exact_flow


def test_reliability_is_zero_for_disoccluded_pixels() -> None:
    mask = estimate_reliability(create_exact_flow(3, 2), create_exact_flow(2, 3))[0, 0]
    new = torch.from_numpy(~CLIP.visible(3, 2))
    assert float(mask[new].max()) == 0
    near = functional.max_pool2d(new[None, None].float(), 9, 1, 4)[0, 0] > 0
    border = find_motion_boundaries(create_exact_flow(3, 2))[0, 0]
    near |= functional.max_pool2d(border[None, None].float(), 9, 1, 4)[0, 0] > 0
    assert float(mask[~near].min()) == 1
    assert 0.02 < float(near.float().mean()) < 0.5


def test_reliability_behind_a_moving_square() -> None:
    backward, forward = torch.zeros(1, 2, 20, 30), torch.zeros(1, 2, 20, 30)
    forward[:, 0, 5:15, 5:15] = 4.0  # the square is at 5 to 15 before, at 9 to 19 now
    backward[:, 0, 5:15, 9:19] = -4.0
    expected = torch.zeros(20, 30, dtype=torch.bool)
    expected[5:15, 5:9] = True
    assert torch.equal(find_disocclusions(backward, forward)[0, 0], expected)


def test_reliability_of_a_still_picture_is_one() -> None:
    still = torch.zeros(1, 2, 16, 16)
    assert torch.equal(estimate_reliability(still, still), torch.ones(1, 1, 16, 16))
