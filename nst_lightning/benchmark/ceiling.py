"""Peak throughput of the machine in convolutions and matrix products: an upper limit for the speed of a step."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from nst_lightning.benchmark.clock import WARM_UP_STEPS, time_calls
from nst_lightning.system.precision import DTYPES, Precision

LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
CHANNELS = 256


def measure_ceiling(device: str, quick: bool, precisions: Sequence[Precision]) -> list[dict[str, Any]]:
    """Measures the throughput of 3x3 convolutions in both memory layouts and of square matrix products.

    Args:
        device: ``cpu`` or ``cuda``.
        quick: whether to use sizes that are too small for meaningful results.
        precisions: precisions to measure.

    Returns:
        Rows with ``what``, ``precision`` and ``rate``: operations per second, where a multiplication and an addition
        count as two.
    """
    rows = []
    for precision in precisions:
        dtype = DTYPES[precision]
        for layout, memory_format in LAYOUTS.items():
            for size in (16,) if quick else (64, 128):
                rate = _measure_convolution(dtype, memory_format, size, device, quick)
                rows.append({"what": f"convolution, {layout}, {size} px", "precision": precision, "rate": rate})
        size = 64 if quick else 2048
        rate = _measure_product(dtype, size, device, quick)
        rows.append({"what": f"product, {size}", "precision": precision, "rate": rate})
    return rows


def best_convolution(rows: list[dict[str, Any]], precision: str) -> float:
    """Returns the highest throughput of a convolution in a precision.

    Args:
        rows: as from :func:`measure_ceiling`.
        precision: ``32-true`` or ``bf16-mixed``.
    """
    return max(float(r["rate"]) for r in rows if r["precision"] == precision and r["what"].startswith("convolution"))


def _measure_convolution(dtype: torch.dtype, layout: torch.memory_format, size: int, device: str, quick: bool) -> float:
    image = torch.randn(1, CHANNELS, size, size, device=device).to(dtype).contiguous(memory_format=layout)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3, device=device).to(dtype).contiguous(memory_format=layout)
    count = 2 if quick else 20
    seconds = time_calls(lambda: functional.conv2d(image, weight, padding=1), count, device, WARM_UP_STEPS)
    # Nine multiplications and additions for each pair of channels and each position.
    return 2 * 9 * CHANNELS**2 * size**2 / min(seconds)


def _measure_product(dtype: torch.dtype, size: int, device: str, quick: bool) -> float:
    matrix = torch.randn(size, size, device=device).to(dtype)
    seconds = time_calls(lambda: matrix @ matrix, 2 if quick else 20, device, WARM_UP_STEPS)
    return 2 * size**3 / min(seconds)
