"""Shares of several styles at each pixel, from one mask for each style."""

from collections.abc import Sequence

import torch
from torch import Tensor


def share_pixels(masks: Tensor, weights: Sequence[float], leaves_rest: bool = False) -> Tensor:
    """Computes the share of each style at each pixel ``p`` from masks ``m`` and weights ``w``.

    ``share_i(p) = w_i m_i(p) / sum_j w_j m_j(p)``, so that the shares sum to 1. A pixel where all masks are 0 has the
    shares ``w_i / sum_j w_j``, or none if it is left free. With `leaves_rest`, the shares are multiplied by
    ``max_j m_j(p)``: a hard mask is exact, and the shares fade to 0 along the edge of a soft one.

    Args:
        masks: ``(styles, 1, height, width)`` in [0, 1].
        weights: weight of each style, 0 or more; at least one is positive.
        leaves_rest: whether the shares sum to less than 1 where no mask is 1.

    Returns:
        ``(styles, 1, height, width)`` in [0, 1].
    """
    column = torch.tensor(weights, dtype=masks.dtype, device=masks.device)[:, None, None, None]
    weighted = masks * column
    total = weighted.sum(0, keepdim=True)
    # A denominator of 0 would make the gradient NaN, even where its quotient is not used.
    shares = weighted / total.where(total > 0, torch.ones_like(total))
    if leaves_rest:
        # The mask of a style with a weight of 0 covers nothing.
        return shares * (masks * (column > 0)).amax(0, keepdim=True)
    return shares.where(total > 0, column / column.sum())


def fill_rest(masks: Tensor, number: int) -> Tensor:
    """Extends the mask of one style by what the masks of the others leave free.

    ``m_number(p)`` becomes ``max(m_number(p), 1 - max_j m_j(p))`` over the others, or 1 without any.

    Args:
        masks: ``(styles, 1, height, width)`` in [0, 1].
        number: number of the style, from 0.

    Returns:
        ``(styles, 1, height, width)`` in [0, 1].
    """
    own, others = masks[number], torch.cat([masks[:number], masks[number + 1 :]])
    free = 1 - others.amax(0) if len(others) else torch.ones_like(own)
    return torch.cat([masks[:number], torch.maximum(own, free)[None], masks[number + 1 :]])
