"""Random features."""

import torch
from torch import Tensor


def create_features(seed: int, size: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "conv_1": torch.randn(1, 3, size, size, generator=generator),
        "conv_2": torch.randn(1, 5, size // 2, size // 2, generator=generator),
    }
