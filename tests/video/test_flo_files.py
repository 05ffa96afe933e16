from pathlib import Path

import numpy as np
import pytest
import torch

from nst_lightning.errors import InputError
from nst_lightning.video.flo_files import read_flow, read_flow_size, write_flow
from nst_lightning.video.flow import FlowFiles


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
    (tmp_path / "0_1.flo").write_bytes(b"PIEH" + np.array([-1, -1], "<i4").tobytes() + bytes(8))
    with pytest.raises(InputError, match="cut off"):
        read_flow_size(tmp_path / "0_1.flo")
    (tmp_path / "0_1.flo").write_text("hello, this is text")
    with pytest.raises(InputError, match=r"Expected a \.flo file"):
        read_flow_size(tmp_path / "0_1.flo")
