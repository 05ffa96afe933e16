"""Numerical precisions and what the hardware supports natively."""

from typing import Literal

import torch

Precision = Literal["32-true", "bf16-mixed"]

PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")

# The type that the network computes in.
DTYPES: dict[Precision, torch.dtype] = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}

# CPU flags for native bfloat16 arithmetic, on x86 and on Arm.
BFLOAT16_CPU_FLAGS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


def native_precisions(accelerator: str) -> tuple[Precision, ...]:
    """Lists the precisions that the hardware computes natively, the fastest last.

    Emulated bfloat16 is not worth trying: a processor without instructions for it reached less than a hundredth of its
    float32 rate in convolutions.

    Args:
        accelerator: as in :func:`native_precision`.
    """
    return PRECISIONS if native_precision(accelerator) == "bf16-mixed" else PRECISIONS[:1]


def is_emulated(precision: Precision, accelerator: str) -> bool:
    """Whether a precision is not known to be native, and may therefore be many times slower.

    Args:
        precision: the precision to check.
        accelerator: as in :func:`native_precision`.
    """
    return precision not in native_precisions(accelerator)


def native_precision(accelerator: str) -> Precision:
    """Chooses the fastest native precision: ``bf16-mixed`` if the hardware has bfloat16 arithmetic, else ``32-true``.

    In ``bf16-mixed`` only the network computes in bfloat16; the image, its gradient and the sums of the losses stay
    float32.

    Args:
        accelerator: as Lightning's Trainer takes it: ``auto``, ``gpu``, ``cuda``, ``mps`` or ``cpu``.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if accelerator != "cpu" and torch.backends.mps.is_available():
        return "32-true"
    # Missing in older releases of torch.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16-mixed" if any(capabilities.get(flag) for flag in BFLOAT16_CPU_FLAGS) else "32-true"
