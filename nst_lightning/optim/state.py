"""Carries the state of an optimizer from one image size to the next."""

from typing import Any

from torch.nn import functional


def resize_state(state: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """An optimizer's state for an image that was resized, as far as it can be carried over.

    The averages of Adam and its kin are resized as the image is, the squared one without overshoot, and its count of
    steps goes on (crowsonkb/style-transfer-pytorch). The curvature of L-BFGS is of the old pixels and is forgotten.

    Args:
        state: of one parameter, ``(batch, channels, ...)`` each.
        height: of the resized image in px.
        width: likewise.
    """
    if not {"step", "exp_avg", "exp_avg_sq"} <= set(state):
        return {}
    size = (height, width)
    mean = functional.interpolate(state["exp_avg"], size=size, mode="bicubic", antialias=True)
    squares = functional.interpolate(state["exp_avg_sq"], size=size, mode="bilinear", antialias=True)
    return {"step": state["step"].clone(), "exp_avg": mean, "exp_avg_sq": squares.clamp_min(0)}
