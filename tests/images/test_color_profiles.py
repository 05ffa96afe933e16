"""Color profiles of three primaries, compared with LittleCMS."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from nst_lightning.images.color_profiles import (
    SRGB,
    SRGB_BYTES,
    convert_to_srgb,
    encode_srgb,
    parse_matrix_profile,
)
from tests.images.profiles import create_gamma_profile, create_profile


def replace_tag(profile: bytes, name: bytes, content: bytes) -> bytes:
    """Appends a tag's content and points the entry of the tag to it."""
    result = bytearray(profile + bytes(-len(profile) % 4))
    for entry in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        if profile[entry : entry + 4] == name:
            struct.pack_into(">II", result, entry + 4, len(result), len(content))
    result += content
    struct.pack_into(">I", result, 0, len(result))
    return bytes(result)


def replace_curves(content: bytes) -> bytes:
    profile = create_profile()
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        profile = replace_tag(profile, name, content)
    return profile


def encode_parametric(kind: int, *values: float) -> bytes:
    numbers = [round(value * 65536) for value in values]
    return b"para" + bytes(4) + struct.pack(f">HH{len(numbers)}i", kind, 0, *numbers)


def encode_table(*values: int) -> bytes:
    return b"curv" + bytes(4) + struct.pack(f">I{len(values)}H", len(values), *values)


def swap_primaries() -> bytes:
    profile = create_profile()
    tags = {}
    for entry in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        offset, size = struct.unpack_from(">II", profile, entry + 4)
        tags[profile[entry : entry + 4]] = profile[offset : offset + size]
    swapped = replace_tag(profile, b"rXYZ", tags[b"gXYZ"])
    return replace_tag(swapped, b"gXYZ", tags[b"rXYZ"])


PROFILES = {
    "sRGB": create_profile(),
    "linear": create_gamma_profile(1.0),
    "gamma 1.8": create_gamma_profile(1.8),
    "swapped primaries": swap_primaries(),
    "type 1": replace_curves(encode_parametric(1, 2.0, 1.1, -0.1)),
    "type 2": replace_curves(encode_parametric(2, 2.0, 1.1, -0.1, 0.0)),
    "type 3": replace_curves(encode_parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)),
    "type 4": replace_curves(encode_parametric(4, 2.0, 0.9, 0.05, 0.5, 0.1, 0.0, 0.0)),
    "identity": replace_curves(encode_table()),
    "exponent": replace_curves(encode_table(round(2.2 * 256))),
    "table": replace_curves(encode_table(*(round(65535 * (n / 99) ** 2) for n in range(100)))),
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_conversion_equals_that_of_littlecms(profile: bytes) -> None:
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    pixels = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    expected = ImageCms.profileToProfile(Image.fromarray(pixels), source, SRGB, outputMode="RGB")
    parsed = parse_matrix_profile(profile)
    assert parsed is not None
    actual = parsed.convert(pixels.astype(np.uint16) * 257)
    # LittleCMS rounds twice to 8 bits, which is most at the steep start of the curve.
    difference = np.abs(actual * 255 - np.asarray(expected))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) < 2


def test_srgb_is_recognized_by_its_colors() -> None:
    is_srgb = {}
    for name, profile in PROFILES.items():
        parsed = parse_matrix_profile(profile)
        assert parsed is not None
        is_srgb[name] = parsed.is_srgb
    assert {name for name, value in is_srgb.items() if value} == {"sRGB", "type 3"}


def test_parametric_curve_has_the_values_of_its_formula() -> None:
    # Not compared with LittleCMS, which makes black of the lowest value.
    parsed = parse_matrix_profile(replace_curves(encode_parametric(2, 2.0, 0.75, 0.125, 0.0625)))
    assert parsed is not None
    expected = [0.125**2 + 0.0625, 0.875**2 + 0.0625]
    np.testing.assert_allclose(parsed.curves[:, [0, 65535]], [expected] * 3, rtol=1e-6)


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"nonsense",
        create_profile()[:300],
        create_profile().replace(b"RGB XYZ ", b"GRAYXYZ "),
        create_profile().replace(b"gXYZ", b"none"),
        create_profile().replace(b"chad", b"A2B0"),
        replace_curves(b"what" + bytes(40)),
        replace_curves(encode_parametric(9, 1.0)),
    ],
)
def test_other_profiles_are_not_parsed(profile: bytes) -> None:
    assert parse_matrix_profile(profile) is None


def test_encode_srgb_is_continuous_and_keeps_the_ends() -> None:
    linear = np.linspace(0, 1, 100001, dtype=np.float32)
    encoded = encode_srgb(linear)
    assert encoded[0] == 0
    assert encoded[-1] == pytest.approx(1, abs=1e-6)
    assert (np.diff(encoded) > 0).all()
    assert np.diff(encoded).max() < 1.3e-4  # the slope is at most 12.92


def test_profile_of_results_changes_no_8_bit_color() -> None:
    levels = np.arange(256, dtype=np.uint8)
    pixels = np.stack(np.meshgrid(levels, levels[::5], levels[::5]), -1).reshape(256, -1, 3)
    source = ImageCms.ImageCmsProfile(io.BytesIO(SRGB_BYTES))
    converted = ImageCms.profileToProfile(Image.fromarray(pixels), source, SRGB, outputMode="RGB")
    assert np.array_equal(np.asarray(converted), pixels)
    picture = Image.fromarray(pixels)
    picture.info["icc_profile"] = SRGB_BYTES
    assert np.array_equal(np.asarray(convert_to_srgb(picture)), pixels)
