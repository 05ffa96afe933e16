"""Which precision a machine paints fastest in."""

from typing import Literal

import torch

Precision = Literal["32-true", "bf16-mixed"]

PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")

DTYPES: dict[Precision, torch.dtype] = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
"""What the network computes in."""

CPU_FEATURES = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""What processors call that they multiply bfloat16 numbers natively."""


def native_precisions(accelerator: str) -> tuple[Precision, ...]:
    """Those that the hardware computes in itself, the fastest last; see :func:`native_precision`.

    Of bfloat16 a processor without instructions for it made less than a hundredth of its float32 convolutions.
    """
    return PRECISIONS if native_precision(accelerator) == "bf16-mixed" else PRECISIONS[:1]


def is_emulated(precision: Precision, accelerator: str) -> bool:
    """Whether the hardware is not known to have instructions for a precision, which may then be many times as slow."""
    return precision not in native_precisions(accelerator)


def native_precision(accelerator: str) -> Precision:
    """``bf16-mixed`` where the hardware computes in bfloat16 natively, ``32-true`` elsewhere.

    Only the network computes in bfloat16; the image, its gradient and every sum of a term are float32.

    Args:
        accelerator: Lightning's: ``auto``, ``gpu``, ``cuda``, ``mps`` or ``cpu``.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if accelerator != "cpu" and torch.backends.mps.is_available():
        return "32-true"
    # Older releases of torch do not tell what a processor can do.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16-mixed" if any(capabilities.get(feature) for feature in CPU_FEATURES) else "32-true"
