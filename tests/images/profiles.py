"""Color profiles made from Pillow's sRGB profile."""

from PIL import ImageCms


def create_profile() -> bytes:
    """Returns Pillow's sRGB profile, with the time of its creation."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def create_gamma_profile(gamma: float) -> bytes:
    """Returns the sRGB profile with all tone curves replaced by a power."""
    profile = bytearray(create_profile())
    count = int.from_bytes(profile[128:132], "big")
    for entry in range(132, 132 + 12 * count, 12):
        offset = int.from_bytes(profile[entry + 4 : entry + 8], "big")
        if bytes(profile[entry : entry + 4]) in (b"rTRC", b"gTRC", b"bTRC"):
            # A parametric curve of type 0 is a power; its exponent follows as a fixed-point number.
            profile[offset : offset + 16] = b"para" + bytes(8) + round(gamma * 65536).to_bytes(4, "big")
    return bytes(profile)
