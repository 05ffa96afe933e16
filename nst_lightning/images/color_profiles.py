"""Conversion of color profiles to sRGB: in 8 bits by Pillow, in 16 bits for profiles of three primaries."""

import io
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# The color space of all tensors.
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

# Without the creation time in bytes 24 to 35, so that equal pictures are equal files.
SRGB_BYTES = SRGB.tobytes()[:24] + bytes(12) + SRGB.tobytes()[36:]

# Parameters of a parametric curve by its type (ICC.1:2022, table 68).
_PARAMETER_COUNTS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}


def convert_to_srgb(picture: Image.Image) -> Image.Image:
    """Converts to 8-bit RGB in sRGB. An unusable color profile is ignored, as in browsers."""
    profile = picture.info.get("icc_profile")
    if profile == SRGB_BYTES:  # of a result; the conversion changes none of the 8-bit colors
        profile = None
    without_alpha = {"RGBA": "RGB", "LA": "L", "PA": "RGB", "P": "RGB", "1": "L"}
    opaque = picture.convert(without_alpha[picture.mode]) if picture.mode in without_alpha else picture
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(opaque, source, SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted
    return opaque if opaque.mode == "RGB" else opaque.convert("RGB")


@dataclass(frozen=True)
class MatrixProfile:
    """A color profile of three primaries with a tone curve each, such as sRGB, Adobe RGB, Display P3 and ProPhoto RGB.

    Attributes:
        curves: linear intensity of each 16-bit level, ``(3, 65536)``.
        matrix: linear sRGB of each primary, ``(3, 3)``, a primary in each column.
    """

    curves: NDArray[np.float32]
    matrix: NDArray[np.float32]

    def convert(self, levels: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Converts 16-bit levels ``(rows, width, 3)`` to sRGB in [0, 1], of the same shape."""
        linear = np.stack([self.curves[channel][levels[..., channel]] for channel in range(3)], -1)
        return encode_srgb((linear @ self.matrix.T).clip(0, 1))

    @property
    def is_srgb(self) -> bool:
        """Whether no color is changed by a level of 8 bits; its levels are better left as they are then."""
        steps = np.arange(0, 65536, 4369, dtype=np.uint16)
        colors = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
        return bool(np.abs(self.convert(colors) - colors / 65535).max() < 1 / 255)


def encode_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Converts linear intensities in [0, 1] to sRGB (IEC 61966-2-1)."""
    # The maximum keeps the unused branch from a power of 0.
    curve = 1.055 * np.maximum(linear, 0.0031308) ** np.float32(1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curve).astype(np.float32)


def parse_matrix_profile(profile: bytes) -> MatrixProfile | None:
    """Reads a color profile of three primaries.

    Args:
        profile: the bytes of an ICC profile.

    Returns:
        The profile, or None if it has another form, such as tables of colors, or is damaged.
    """
    try:
        tags = _parse_tags(profile)
        if b"A2B0" in tags or profile[16:20] != b"RGB ":
            return None
        primaries = np.stack([_parse_primary(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], 1)
        srgb = _parse_tags(SRGB_BYTES)
        srgb_primaries = np.stack([_parse_primary(srgb[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], 1)
        curves = np.stack([_parse_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")])
    except (KeyError, IndexError, ValueError, struct.error):
        return None
    # Both are relative to the white point D50, the one of all profiles.
    return MatrixProfile(curves.astype(np.float32), np.linalg.solve(srgb_primaries, primaries).astype(np.float32))


def _parse_tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * number) for number in range(min(count, 1000))]
    return {name: profile[offset : offset + size] for name, offset, size in entries}


def _parse_primary(tag: bytes) -> NDArray[np.float64]:
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _parse_curve(tag: bytes) -> NDArray[np.float64]:
    """Returns the linear intensity of each 16-bit level (ICC.1:2022, sections 10.6 and 10.18)."""
    x = np.linspace(0, 1, 65536)
    if tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        return _evaluate_parametric(
            x, kind, [v / 65536 for v in struct.unpack_from(f">{_PARAMETER_COUNTS[kind]}i", tag, 12)]
        )
    if tag[:4] != b"curv":
        raise ValueError("unknown type of tone curve")
    (count,) = struct.unpack_from(">I", tag, 8)
    values = np.frombuffer(tag, ">u2", count, 12).astype(np.float64)
    if count == 0:
        return x
    # A single value is an exponent with 8 fractional bits.
    return x ** (values[0] / 256) if count == 1 else np.interp(x, np.linspace(0, 1, count), values / 65535)


def _evaluate_parametric(x: NDArray[np.float64], kind: int, values: list[float]) -> NDArray[np.float64]:
    """Evaluates ``(a x + b) ** g + e`` where ``x >= d``, else ``c x + f``, clipped to [0, 1]."""
    g, a, b, c, d, e, f = values[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind in (1, 2):
        a, b = values[1:3]
        d = -b / a
        e = f = values[3] if kind == 2 else 0.0
    elif kind >= 3:
        a, b, c, d = values[1:5]
        e, f = values[5:] if kind == 4 else (0.0, 0.0)
    power = np.maximum(a * x + b, 0) ** g + e
    return np.where(x >= d, power, c * x + f).clip(0, 1)
