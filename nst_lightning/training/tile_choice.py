"""The choice of the tiles in which a run evaluates large images."""

from nst_lightning.backbones.multi_scale import AT, MultiScale, split_layer
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.losses.base import IMAGE, FeatureLoss, Loss
from nst_lightning.losses.neighbor import NeighborLoss
from nst_lightning.losses.regional import RegionalLoss
from nst_lightning.training.objective import Objective

# Lengths in px of tiles from which `auto` chooses; smaller tiles consist mostly of margin.
TILE_SIZES = (8192, 6144, 4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256)


def find_whole_term(objective: Objective) -> str | None:
    """Returns what of an objective needs the whole image at a time, for a message; None if it can be tiled."""
    backbone = objective.image_backbone
    network = backbone.network if isinstance(backbone, MultiScale) else backbone
    if objective.receptive_radii is None:
        return f"the network {type(network).__name__}"
    if objective.tileable:
        return "`tileable`"
    for name, loss in objective.named_losses.items():
        if not _is_tiled(loss):
            return f"the term {name!r} ({type(_without_parts(loss)).__name__})"
    return None


def _without_parts(loss: Loss) -> Loss:
    return loss.loss if isinstance(loss, RegionalLoss) else loss


def _is_tiled(loss: Loss) -> bool:
    """Whether a loss reads the pixels alone, or is computed from tiles."""
    if all(split_layer(layer)[0] == IMAGE for layer in loss.layers):
        return True
    plain = _without_parts(loss)
    if isinstance(plain, NeighborLoss) and any(IMAGE in layer or AT in layer for layer in plain.layers):
        return False
    return isinstance(plain, FeatureLoss) and plain.tiling is not None and not plain.matched


def is_local(loss: Loss) -> bool:
    """Whether a loss compares an image with its content position by position."""
    plain = _without_parts(loss)
    return isinstance(plain, FeatureLoss) and plain.tiling == "local"


def check_tiling(objective: Objective) -> None:
    """Checks that an objective can be evaluated in tiles.

    Raises:
        InputError: a part of it needs the whole image.
    """
    whole = find_whole_term(objective)
    if whole is not None:
        raise InputError(
            f"Expected an objective that can be evaluated in tiles, but {whole} needs the whole picture at a time: "
            "remove it, or set data.plan.tile to null."
        )


def check_sharing(objective: Objective, data: TransferData) -> None:
    """Checks that several devices can share an image.

    Raises:
        InputError: a part of the objective needs the whole image, or the content is a film.
    """
    whole = find_whole_term(objective)
    if whole is not None:
        raise InputError(
            f"Expected an objective that several devices can share, but {whole} needs the whole picture at a time: "
            "remove it, or set trainer.devices to 1."
        )
    if data.film is not None:
        raise InputError(
            "Expected a picture for several devices, but got a film, whose frames are painted one after the other: set "
            "trainer.devices to 1."
        )
