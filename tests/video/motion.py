"""The motion of a drawn clip, which is known exactly."""

import torch
from torch import Tensor

from nst_lightning.samples.drawing.clip import Clip

CLIP = Clip(frames=6, width=128, height=96)


def read_clip_frame(number: int) -> Tensor:
    """Returns a frame of the clip, ``(1, 3, height, width)`` in [0, 1]."""
    return torch.from_numpy(CLIP.picture(number)).permute(2, 0, 1)[None].float() / 255


def create_exact_flow(number: int, other: int) -> Tensor:
    """Returns the exact optical flow from one frame of the clip to another, ``(1, 2, height, width)`` in px."""
    return torch.from_numpy(CLIP.flow(number, other)).permute(2, 0, 1)[None]
