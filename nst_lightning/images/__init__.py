"""Pictures as files and tensors."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nst_lightning.images.io import Picture as Picture
    from nst_lightning.images.io import from_pil as from_pil
    from nst_lightning.images.io import read_image as read_image
    from nst_lightning.images.io import to_pil as to_pil
    from nst_lightning.images.io import write_image as write_image

__all__ = ["Picture", "from_pil", "read_image", "to_pil", "write_image"]


# Not imported here: the modules of this folder that write files are also used by commands that start without torch.
def __getattr__(name: str) -> Any:
    """Imports a name at its first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("nst_lightning.images.io"), name)
