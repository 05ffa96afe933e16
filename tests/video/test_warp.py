"""Warping, with exactly known motion."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.video.warp import find_inside, point_inside, warp
from tests.video.motion import CLIP, create_exact_flow, read_clip_frame


def create_constant_flow(height: int, width: int, along: float, down: float) -> Tensor:
    return torch.tensor([along, down]).view(1, 2, 1, 1).expand(1, 2, height, width)


@pytest.mark.parametrize("kernel", ["linear", "cubic"])
def test_warp_by_whole_pixels_is_exact(kernel: str) -> None:
    picture = torch.rand(2, 3, 20, 30)
    moved = warp(picture, create_constant_flow(20, 30, 3, -2).expand(2, 2, 20, 30), kernel)  # type: ignore[arg-type]
    assert torch.equal(moved[..., 2:, :-3], picture[..., :-2, 3:])
    assert torch.equal(moved[..., :2, :-3], picture[..., 1:3, 3:].flip(-2)), "beyond the edges it is mirrored"


def test_linear_warp_equals_torch() -> None:
    picture, flow = torch.rand(1, 3, 12, 17), 4 * torch.randn(1, 2, 12, 17)
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(17.0), indexing="ij")
    grid = torch.stack([(columns + flow[0, 0]) / 16 * 2 - 1, (rows + flow[0, 1]) / 11 * 2 - 1], dim=-1)[None]
    expected = functional.grid_sample(picture, grid, "bilinear", "reflection", align_corners=True)
    torch.testing.assert_close(warp(picture, flow, "linear"), expected, atol=1e-5, rtol=1e-5)


def test_cubic_warp_keeps_more_detail_than_linear() -> None:
    picture = read_clip_frame(0)
    there, back = create_constant_flow(96, 128, 0.5, 0.5), create_constant_flow(96, 128, -0.5, -0.5)
    errors = []
    for kernel in ("linear", "cubic"):
        again = warp(warp(picture, there, kernel), back, kernel)
        errors.append(float((again - picture)[..., 3:-3, 3:-3].square().mean()))
    assert errors[1] < 0.6 * errors[0]
    ramp = torch.arange(20.0).expand(1, 1, 8, 20)
    torch.testing.assert_close(warp(ramp, create_constant_flow(8, 20, 0.3, 0))[..., 2:-2], ramp[..., 2:-2] + 0.3)


def test_warp_with_exact_flow_reproduces_the_next_frame() -> None:
    for number, before in ((1, 0), (5, 1)):
        seen = torch.from_numpy(CLIP.visible(number, before))
        moved = warp(read_clip_frame(before), create_exact_flow(number, before))
        assert torch.equal(moved[..., seen], read_clip_frame(number)[..., seen])
        assert 0.8 < float(seen.float().mean()) < 1


def test_warp_marks_positions_inside_the_picture() -> None:
    actual = find_inside(create_constant_flow(4, 6, 2, 0))
    assert torch.equal(actual[0, 0], torch.tensor([1.0, 1, 1, 1, 0, 0]).expand(4, 6))


def test_flow_that_points_inside_repeats_the_edges() -> None:
    image = torch.arange(20.0).reshape(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0], flow[:, 1] = -2, 3
    expected = torch.tensor([15.0, 15, 15, 16, 17]).expand(1, 1, 4, 5)
    assert torch.equal(warp(image, point_inside(flow), "linear"), expected)
    inside = point_inside(flow)
    assert torch.equal(point_inside(inside), inside)
    assert bool((find_inside(inside) == 1).all())
