"""Sizes of images that repeat without a seam."""

from collections.abc import Callable
from functools import cache

from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.training.objective import Objective

# How far a length in px may be from the requested one; only unusual scales of layers have no tile within it.
FARTHEST = 512


def round_shapes(data: TransferData, objective: Objective) -> None:
    """Gives the image of each stage the nearest height and width with which it can be a tile.

    Poolings drop a row or column that is left over, and a tile must have none. The layers up to conv_10 of the VGG
    networks have three poolings, so lengths are multiples of 8.

    Args:
        data: the data of a run, after its setup.
        objective: the objective of the run.

    Raises:
        InputError: the content is a film.
    """
    if data.film is not None:
        raise InputError("Expected a still as content with `tileable`, but got a film: set model.tileable to false.")
    data.round_shapes(cache(lambda length: nearest_tile(length, objective.is_tile)))


def nearest_tile(length: int, is_tile: Callable[[int], bool]) -> int:
    """Returns the length that is nearest to a given one and fits a tile; the larger one of two.

    Args:
        length: in px.
        is_tile: whether a length fits.

    Raises:
        InputError: no length nearby fits.
    """
    for distance in range(FARTHEST + 1):
        for candidate in (length + distance, length - distance):
            if candidate > 0 and is_tile(candidate):
                return candidate
    raise InputError(
        f"Expected layers that tile, but no length near {length} px fits them all: use scales such as @0.5 and "
        "@0.25, or set model.tileable to false."
    )
