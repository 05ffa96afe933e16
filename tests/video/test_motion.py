"""Optical flow, warping and occlusion compared with exactly known motion."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.optical_flow import raft_small  # type: ignore[import-untyped]

from nst_lightning.errors import InputError
from nst_lightning.samples.drawing.clip import Clip
from nst_lightning.video.flo_files import read_flow, read_flow_size, write_flow
from nst_lightning.video.flow import DIS, RAFT, Files, Flow, FlowFiles, resolve_flow
from nst_lightning.video.occlusion import estimate_reliability, find_disocclusions, find_motion_boundaries
from nst_lightning.video.warp import find_inside, warp
from tests.helpers import smooth_image

CLIP = Clip(frames=6, width=128, height=96)


def read_clip_frame(number: int) -> Tensor:
    return torch.from_numpy(CLIP.picture(number)).permute(2, 0, 1)[None].float() / 255


def create_exact_flow(number: int, other: int) -> Tensor:
    return torch.from_numpy(CLIP.flow(number, other)).permute(2, 0, 1)[None]


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
    found = find_inside(create_constant_flow(4, 6, 2, 0))
    assert torch.equal(found[0, 0], torch.tensor([1.0, 1, 1, 1, 0, 0]).expand(4, 6))


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


def assert_flow_is_close(flow: Flow, tolerance: float) -> None:
    found = flow.estimate(read_clip_frame(3), read_clip_frame(2), (3, 2))
    seen = torch.from_numpy(CLIP.visible(3, 2) & ~CLIP.covered(3))
    seen[:, :8] = seen[:, -8:] = False
    error = (found - create_exact_flow(3, 2)).square().sum(1).sqrt()[0]
    assert found.shape == (1, 2, 96, 128)
    assert float(error[seen].median()) < tolerance


def test_dis_estimates_the_motion_of_the_clip() -> None:
    assert_flow_is_close(DIS(), 0.1)
    assert torch.equal(*(DIS().estimate(read_clip_frame(1), read_clip_frame(0), (1, 0)) for _ in range(2)))


def test_dis_rejects_small_frames() -> None:
    with pytest.raises(InputError, match="at least 16 px each way"):
        DIS().check([], 12, 40)


def test_raft_reads_a_file_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "raft.pth"
    torch.save(raft_small().state_dict(), path)
    flow = RAFT("small", weights=str(path), device="cpu")
    flow.check([(1, 0)], 96, 128)
    found = flow.estimate(smooth_image(90, 101), smooth_image(90, 101), (1, 0))
    assert found.shape == (1, 2, 90, 101)
    assert bool(found.isfinite().all())
    with pytest.raises(InputError, match="no file at"):
        RAFT(weights="nowhere.pth").check([], 128, 128)
    with pytest.raises(InputError, match="Expected weights of raft_large"):
        RAFT("large", weights=str(path)).check([], 128, 128)


def test_flo_files_round_trip(tmp_path: Path) -> None:
    flow = torch.randn(1, 2, 5, 7)
    write_flow(tmp_path / "1_0.flo", flow)
    assert torch.equal(read_flow(tmp_path / "1_0.flo"), flow)
    raw = (tmp_path / "1_0.flo").read_bytes()
    assert raw[:4] == b"PIEH"
    assert np.frombuffer(raw[12:], "<f4")[:2].tolist() == flow[0, :, 0, 0].tolist()
    files = FlowFiles(str(tmp_path / "{frame}_{to}.flo"))
    assert torch.equal(files.estimate(torch.zeros(1, 3, 5, 7), torch.zeros(1, 3, 5, 7), (1, 0)), flow)


def test_flo_files_of_another_size_are_rejected(tmp_path: Path) -> None:
    write_flow(tmp_path / "1_0.flo", torch.zeros(1, 2, 5, 7))
    files = FlowFiles(str(tmp_path / "{frame}_{to}.flo"))
    with pytest.raises(InputError, match=r"optical flow of 9x9 px.*has 7x5 px"):
        files.check([(1, 0)], 9, 9)
    with pytest.raises(InputError, match=r"0_1.flo, but there is no such file: --data.flow dis"):
        files.check([(1, 0), (0, 1)], 5, 7)
    (tmp_path / "0_1.flo").write_bytes((tmp_path / "1_0.flo").read_bytes()[:-4])
    with pytest.raises(InputError, match="cut off"):
        read_flow_size(tmp_path / "0_1.flo")
    (tmp_path / "0_1.flo").write_text("hello, this is text")
    with pytest.raises(InputError, match=r"Expected a \.flo file"):
        read_flow_size(tmp_path / "0_1.flo")


def test_create_flow_accepts_names() -> None:
    assert resolve_flow("none") is None
    assert isinstance(resolve_flow("dis"), DIS)
    assert isinstance(resolve_flow("raft"), RAFT)
    assert isinstance(resolve_flow("flow/{frame:04d}_{to:04d}.flo"), FlowFiles)
    assert Files is FlowFiles  # the former name of the class, in saved configurations
    given = DIS("fast")
    assert resolve_flow(given) is given
    for wrong in ("deepflow", "flow_{frame}.flo"):
        with pytest.raises(InputError, match="Expected `flow` to be none, dis, raft"):
            resolve_flow(wrong)
    with pytest.raises(InputError, match=r"only \{frame\} and \{to\}"):
        resolve_flow("flow_{from}.flo")
