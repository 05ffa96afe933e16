"""Uploads: what is stored, and what is refused."""

import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from nst_lightning.app.uploads import UploadStore
from nst_lightning.errors import InputError
from nst_lightning.images.io import read_config, read_image
from nst_lightning.samples import sample_path


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def make_png(width: int, height: int) -> bytes:
    """Returns a PNG that declares a size and has no pixels of it."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, data))
    return b"\x89PNG\r\n\x1a\n" + chunks


PHOTO = Image.linear_gradient("L").resize((40, 30)).convert("RGB")

BAD_PICTURES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"no picture",
    "html": lambda: b"<html><script>alert(1)</script></html>",
    "svg": lambda: b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "pickle": lambda: b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
    "yaml": lambda: b"model: {class_path: os.system}",
    "eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    "ppm": lambda: b"P6 2 2 255 " + bytes(12),
    "ico": lambda: encode(PHOTO, "ICO"),
    "cut off": lambda: encode(PHOTO, "JPEG")[:300],
    "damaged": lambda: encode(PHOTO)[:60] + bytes(100),
    "too many pixels": lambda: encode(Image.new("L", (101, 100))),
    "bomb": lambda: make_png(60000, 60000),
    "too many bytes": lambda: encode(PHOTO) + bytes(2**20),
    "film": lambda: sample_path("clip").read_bytes(),
    "playlist": lambda: b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\nfile:///etc/passwd\n",
}


@pytest.mark.parametrize("name", list(BAD_PICTURES))
def test_bad_picture_is_refused_in_one_line_and_leaves_no_file(files: UploadStore, tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload.png"
    path.write_bytes(BAD_PICTURES[name]())
    with pytest.raises(InputError, match=r"^Expected [^\n]*$") as raised:
        files.add_picture(path)
    assert str(tmp_path) not in str(raised.value)
    assert list(files.folder.iterdir()) == []


BAD_FILMS: dict[str, Callable[[], bytes]] = {
    "playlist": BAD_PICTURES["playlist"],
    "list of files": lambda: b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "session": lambda: b"v=0\nm=video 5004 RTP/AVP 96\nc=IN IP4 127.0.0.1\n",
    "html": BAD_PICTURES["html"],
    "picture": lambda: encode(PHOTO),
    "still gif": lambda: encode(PHOTO, "GIF"),
    "only a header": lambda: sample_path("clip").read_bytes()[:64],
    "too many bytes": lambda: sample_path("clip").read_bytes() + bytes(2**20),
    "too many pixels": lambda: sample_path("clip").read_bytes(),
}


@pytest.mark.parametrize("name", list(BAD_FILMS))
def test_bad_film_is_refused_in_one_line_and_leaves_no_file(files: UploadStore, tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload.mp4"
    path.write_bytes(BAD_FILMS[name]())
    with pytest.raises(InputError, match=r"^Expected [^\n]*$") as raised:
        files.add_film(path)
    assert str(tmp_path) not in str(raised.value)
    assert list(files.folder.iterdir()) == []


def test_film_is_stored_as_it_is_under_a_generated_id(tmp_path: Path) -> None:
    files = UploadStore(tmp_path / "uploads", 2**22, 10**6)
    name = files.add_film(sample_path("clip"))
    assert re.fullmatch(r"[0-9a-f]{32}\.mp4", name)
    assert files.path(name).read_bytes() == sample_path("clip").read_bytes()
    assert files.is_film(name)


def test_animation_is_a_film(files: UploadStore, tmp_path: Path) -> None:
    path = tmp_path / "moving.bin"
    path.write_bytes(encode(PHOTO, "GIF", save_all=True, append_images=[PHOTO.rotate(90)]))
    name = files.add_film(path)
    assert name.endswith(".gif")
    assert files.is_film(name)


def test_picture_is_stored_upright_without_its_metadata(files: UploadStore, tmp_path: Path) -> None:
    exif = PHOTO.getexif()
    exif[0x0112], exif[0x010E] = 6, "place of the photograph"
    path = tmp_path / "../x.jpg"
    path.write_bytes(encode(PHOTO, "JPEG", exif=exif, comment=b"a comment"))
    stored = files.path(files.add_picture(path))
    content = stored.read_bytes()
    assert b"photograph" not in content
    assert b"comment" not in content
    with Image.open(stored) as image:
        assert (image.format, image.size, image.info) == ("PNG", (30, 40), {})


def test_configuration_in_a_picture_is_dropped(files: UploadStore, tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("nst_lightning", "data: {style: /etc/passwd}")
    path = tmp_path / "painted.png"
    path.write_bytes(encode(PHOTO, pnginfo=info))
    assert read_config(path)
    assert read_config(files.path(files.add_picture(path))) == ""


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_pictures_of_all_modes_keep_their_colors(files: UploadStore, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "picture"
    kind = "JPEG" if mode == "CMYK" else "PNG"
    path.write_bytes(encode(PHOTO.convert(mode), kind))
    expected, stored = read_image(path), read_image(files.path(files.add_picture(path)))
    assert (expected.image - stored.image).abs().max() <= 1 / 255
    assert (expected.alpha is None) == (stored.alpha is None)


def test_transparency_is_kept(files: UploadStore) -> None:
    picture = PHOTO.copy()
    picture.putalpha(Image.new("L", picture.size, 100))
    stored = read_image(files.path(files.add_picture(picture)))
    assert stored.alpha is not None
    assert stored.alpha.amin().item() == stored.alpha.amax().item() == pytest.approx(100 / 255)


def test_gray_of_16_bits_keeps_its_levels(files: UploadStore, tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 1200).reshape(30, 40).astype(np.uint16)
    path = tmp_path / "gray.png"
    path.write_bytes(encode(Image.fromarray(levels)))
    stored = read_image(files.path(files.add_picture(path))).image
    assert (stored - read_image(path).image).abs().max() <= 1 / 255


def test_mask_is_gray_or_the_opacity(files: UploadStore) -> None:
    gray = Image.linear_gradient("L").resize((40, 30))
    drawn = Image.merge("RGBA", (*Image.new("RGB", gray.size, "red").split(), gray))
    first, second = (files.path(files.add_mask(image)) for image in (gray, drawn))
    assert first != second
    for path in (first, second):
        with Image.open(path) as stored:
            assert stored.mode == "L"
            assert stored.tobytes() == gray.tobytes()
    with pytest.raises(InputError, match=r"1e\+04"):
        files.add_mask(Image.new("L", (200, 100)))


@pytest.mark.parametrize(
    "id",
    [
        "",
        "cat.png",
        "../app.json",
        "/etc/passwd",
        "0" * 32,
        "0" * 32 + ".png",
        "0" * 32 + ".svg",
        "0" * 32 + ".png\n",
        "0" * 31 + "/.png",
        "sample:../../errors",
        "sample:",
        "http://127.0.0.1/x.png",
        None,
        7,
    ],
)
def test_unknown_id_is_refused(files: UploadStore, id: str) -> None:
    with pytest.raises(InputError):
        files.path(id)


def test_symbolic_link_is_no_upload(files: UploadStore, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (files.folder / f"{'a' * 32}.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError):
        files.path(f"{'a' * 32}.png")


def test_samples_exist_and_are_found_by_their_ids(files: UploadStore) -> None:
    samples = files.samples()
    assert "sample:cat_mask" in samples
    assert all(files.path(name) == path and path.is_file() for name, path in samples.items())
    assert [name for name in [*samples, "sample:clip"] if files.is_film(name)] == ["sample:clip"]


def test_all_uploads_together_have_a_limit(tmp_path: Path) -> None:
    files = UploadStore(tmp_path / "uploads", 3000, 10_000)
    noise = Image.effect_noise((90, 90), 100)
    while sum(path.stat().st_size for path in files.folder.iterdir()) <= 100 * 3000:
        files.add_mask(noise)
    with pytest.raises(InputError, match="at most"):
        files.add_mask(noise)
    assert 100 * 3000 < sum(path.stat().st_size for path in files.folder.iterdir()) < 110 * 3000


def test_old_uploads_that_no_run_uses_are_deleted(files: UploadStore) -> None:
    old, used, new = (files.add_mask(Image.new("L", (8, 8))) for _ in range(3))
    for name in (old, used):
        os.utime(files.path(name), (0, 0))
    files.remove_unused({used})
    assert {path.name for path in files.folder.iterdir()} == {used, new}
