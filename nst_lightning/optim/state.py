"""Carries an optimizer's state over from one image size to the next."""

from typing import Any

from torch.nn import functional

from nst_lightning.functional.periodic import interpolate_periodic


def resize_state(state: dict[str, Any], height: int, width: int, periodic: bool = False) -> dict[str, Any]:
    """Resizes an optimizer's state to a new image size, as far as the state can be resized.

    Adam and related optimizers keep their step count and their moving averages, which are resized like the image; the
    second moment bilinearly, because it must not become negative (as in crowsonkb/style-transfer-pytorch). The
    curvature pairs of L-BFGS belong to the old pixels and are discarded.

    Args:
        state: the state of one parameter; its tensors have shape ``(batch, channels, height, width)``.
        height: new height in px.
        width: new width in px.
        periodic: whether the image is a tile.

    Returns:
        The resized state; empty for an optimizer without Adam's moving averages.
    """
    if not {"step", "exp_avg", "exp_avg_sq"} <= set(state):
        return {}
    if periodic:
        mean = interpolate_periodic(state["exp_avg"], height, width, "bicubic")
        squares = interpolate_periodic(state["exp_avg_sq"], height, width, "bilinear")
    else:
        size = (height, width)
        mean = functional.interpolate(state["exp_avg"], size=size, mode="bicubic", antialias=True)
        squares = functional.interpolate(state["exp_avg_sq"], size=size, mode="bilinear", antialias=True)
    return {"step": state["step"].clone(), "exp_avg": mean, "exp_avg_sq": squares.clamp_min(0)}
