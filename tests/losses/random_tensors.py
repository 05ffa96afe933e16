"""Random tensors."""

import torch
from torch import Tensor


def create_random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
