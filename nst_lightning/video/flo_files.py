"""The .flo format of the Middlebury benchmark for optical flow: a header of 12 bytes, then float32 vectors."""

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes

# The first four bytes of a .flo file as a float32.
MAGIC_NUMBER = 202021.25


def read_flow_size(path: Path) -> tuple[int, int]:
    """Reads height and width from the header of a .flo file.

    Args:
        path: .flo file.

    Returns:
        Height and width in px.

    Raises:
        InputError: the file does not exist, is cut off, or has another format.
    """
    if not path.is_file():
        raise InputError(f"Expected optical flow in {path}, but there is no such file: --data.flow dis computes it.")
    with path.open("rb") as file:
        header = file.read(12)
    if len(header) < 12 or struct.unpack("<f", header[:4])[0] != MAGIC_NUMBER:
        raise InputError(f"Expected a .flo file, but {path} has another format.")
    width, height = struct.unpack("<ii", header[4:])
    if min(width, height) < 1 or path.stat().st_size != 12 + 8 * width * height:
        raise InputError(f"Expected a complete .flo file, but {path} is cut off.")
    return height, width


def read_flow(path: Path) -> Tensor:
    """Reads a .flo file.

    Args:
        path: .flo file.

    Returns:
        ``(1, 2, height, width)`` in px, horizontal component first.

    Raises:
        InputError: see :func:`read_flow_size`.
    """
    height, width = read_flow_size(path)
    values = np.fromfile(path, dtype="<f4", offset=12).reshape(height, width, 2)
    return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None].contiguous()


def write_flow(path: Path, flow: Tensor) -> None:
    """Writes a .flo file completely or not at all.

    Args:
        path: file to write; its folder exists.
        flow: ``(1, 2, height, width)`` in px, horizontal component first.
    """
    height, width = flow.shape[-2:]
    values = flow[0].permute(1, 2, 0).contiguous().numpy().astype("<f4")
    write_bytes(path, struct.pack("<fii", MAGIC_NUMBER, width, height) + values.tobytes())
