"""The motion of a drawn clip, which is known exactly."""

import torch
from torch import Tensor

from nst_lightning.samples.drawing.clip import Clip

CLIP = Clip(frames=6, width=128, height=96)


def read_clip_frame(number: int) -> Tensor:
    return torch.from_numpy(CLIP.picture(number)).permute(2, 0, 1)[None].float() / 255


def create_exact_flow(number: int, other: int) -> Tensor:
    return torch.from_numpy(CLIP.flow(number, other)).permute(2, 0, 1)[None]
