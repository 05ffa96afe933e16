"""Pictures as files and tensors."""

from nst_lightning.images.io import Picture, from_pil, read_image, to_pil, write_image

__all__ = ["Picture", "from_pil", "read_image", "to_pil", "write_image"]
