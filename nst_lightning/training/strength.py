"""The strength of the style, one number with the same meaning in all recipes."""

from collections.abc import Iterable

from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.resize import resize
from nst_lightning.losses.base import Loss

# Power of the factors. With 2, a quarter of the way to full style is already two thirds of the way from the photograph;
# with 4, the last quarter changes nothing that can be measured. See the table in configs/README.md.
EXPONENT = 3.0


def check_strength(strength: float) -> float:
    """Returns a strength.

    Raises:
        InputError: the strength is not between 0 and 1.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"Expected `model.strength` to be from 0 (photograph) to 1 (style), but got {strength}.")
    return strength


def effective_strength(losses: Iterable[Loss], strength: float) -> float:
    """Returns the strength of a run: 0.5 without a term of the content or of the style, for there is no balance then.

    Args:
        losses: all terms of the run.
        strength: the requested strength in [0, 1].
    """
    return strength if {"content", "style"} <= {loss.reference for loss in losses} else 0.5


def content_factor(strength: float) -> float:
    """Computes the factor on terms that keep the content: 1 up to a strength of 0.5, then falling to 0.

    ``min(1, 2 (1 - s))^p`` with the exponent ``p`` of :data:`EXPONENT`.

    Args:
        strength: ``s`` in [0, 1].
    """
    return float(min(1.0, 2 * (1 - strength)) ** EXPONENT)


def style_factor(strength: float) -> float:
    """Computes the factor on terms that change the picture: rising from 0, 1 from a strength of 0.5.

    ``min(1, 2 s)^p`` with the exponent ``p`` of :data:`EXPONENT`.

    Args:
        strength: ``s`` in [0, 1].
    """
    return float(min(1.0, 2 * strength) ** EXPONENT)


def strength_factor(loss: Loss, strength: float) -> float:
    """Returns the factor on a term.

    Terms that compare with the content have :func:`content_factor`. Terms that compare with the style, and terms on the
    image alone, have :func:`style_factor`, so that a strength of 0 leaves nothing that changes the photograph. Terms
    that compare with earlier frames of a film keep their weight: they decide how much a film flickers, not its style.

    Args:
        loss: the term.
        strength: in [0, 1].
    """
    if loss.reference == "content":
        return content_factor(strength)
    if loss.reference is None and loss.offsets:
        return 1.0
    return style_factor(strength)


def restore_details(image: Tensor, content: Tensor, previous_content: Tensor, strength: float) -> Tensor:
    """Adds the details of the content that a smaller size has lost, in the share that the style does not paint over.

    ``x + (1 - g) (c - R(b))`` with the resized image ``x``, the content ``c``, its smaller version ``b``, resizing
    ``R`` and the style factor ``g``. At a strength of 0, an image that was the smaller content becomes the content;
    from 0.5 on, the image stays as it is.

    Args:
        image: the resized image, ``(batch, 3, height, width)``.
        content: the content at its size, ``(batch, 3, height, width)``.
        previous_content: the content at the size of the stage before, ``(batch, 3, any, any)``.
        strength: in [0, 1].
    """
    share = 1 - style_factor(strength)
    if not share:
        return image
    # In this order, equal values cancel exactly.
    return (image - share * resize(previous_content, *image.shape[-2:])) + share * content
