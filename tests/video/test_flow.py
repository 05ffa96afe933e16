"""Estimates of optical flow, compared with exactly known motion."""

from pathlib import Path

import pytest
import torch
from torchvision.models.optical_flow import raft_small  # type: ignore[import-untyped]

from nst_lightning.errors import InputError
from nst_lightning.video.flow import DIS, RAFT, Files, Flow, FlowFiles, resolve_flow
from tests.helpers import smooth_image
from tests.video.motion import CLIP, create_exact_flow, read_clip_frame


def assert_flow_is_close(flow: Flow, tolerance: float) -> None:
    actual = flow.estimate(read_clip_frame(3), read_clip_frame(2), (3, 2))
    seen = torch.from_numpy(CLIP.visible(3, 2) & ~CLIP.covered(3))
    seen[:, :8] = seen[:, -8:] = False
    error = (actual - create_exact_flow(3, 2)).square().sum(1).sqrt()[0]
    assert actual.shape == (1, 2, 96, 128)
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
    actual = flow.estimate(smooth_image(90, 101), smooth_image(90, 101), (1, 0))
    assert actual.shape == (1, 2, 90, 101)
    assert bool(actual.isfinite().all())
    with pytest.raises(InputError, match="no file at"):
        RAFT(weights="nowhere.pth").check([], 128, 128)
    with pytest.raises(InputError, match="Expected weights of raft_large"):
        RAFT("large", weights=str(path)).check([], 128, 128)


def test_create_flow_accepts_names() -> None:
    assert resolve_flow("none") is None
    assert isinstance(resolve_flow("dis"), DIS)
    assert isinstance(resolve_flow("raft"), RAFT)
    assert isinstance(resolve_flow("flow/{frame:04d}_{to:04d}.flo"), FlowFiles)
    assert Files is FlowFiles  # the former name of the class, in saved configurations
    dis = DIS("fast")
    assert resolve_flow(dis) is dis
    for wrong in ("deepflow", "flow_{frame}.flo"):
        with pytest.raises(InputError, match="Expected `flow` to be none, dis, raft"):
            resolve_flow(wrong)
    with pytest.raises(InputError, match=r"only \{frame\} and \{to\}"):
        resolve_flow("flow_{from}.flo")
