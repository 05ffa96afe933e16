"""What this machine can do at most."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from nst_lightning.benchmark.clock import durations
from nst_lightning.system.precision import DTYPES, Precision

LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
CHANNELS = 256


def ceiling(device: str, quick: bool, precisions: Sequence[Precision]) -> list[dict[str, Any]]:
    """Rates of convolutions and matrix products in operations a second, a multiplication and an addition being two."""
    rows = []
    for precision in precisions:
        dtype = DTYPES[precision]
        for layout, memory_format in LAYOUTS.items():
            for size in (16,) if quick else (64, 128):
                rate = _convolution(dtype, memory_format, size, device, quick)
                rows.append({"what": f"convolution, {layout}, {size} px", "precision": precision, "rate": rate})
        size = 64 if quick else 2048
        rows.append({"what": f"product, {size}", "precision": precision, "rate": _product(dtype, size, device, quick)})
    return rows


def best_convolution(rows: list[dict[str, Any]], precision: str) -> float:
    """The highest rate of a convolution in a precision."""
    return max(float(r["rate"]) for r in rows if r["precision"] == precision and r["what"].startswith("convolution"))


def _convolution(dtype: torch.dtype, layout: torch.memory_format, size: int, device: str, quick: bool) -> float:
    image = torch.randn(1, CHANNELS, size, size, device=device).to(dtype).contiguous(memory_format=layout)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3, device=device).to(dtype).contiguous(memory_format=layout)
    seconds = durations(lambda: functional.conv2d(image, weight, padding=1), 2 if quick else 20, device, warm_up=3)
    return 2 * 9 * CHANNELS**2 * size**2 / min(seconds)


def _product(dtype: torch.dtype, size: int, device: str, quick: bool) -> float:
    matrix = torch.randn(size, size, device=device).to(dtype)
    seconds = durations(lambda: matrix @ matrix, 2 if quick else 20, device, warm_up=3)
    return 2 * size**3 / min(seconds)
