"""The limit on the pixels of a picture, in place of Pillow's."""

import struct
import threading
import zlib
from pathlib import Path

import pytest
from PIL import Image

from nst_lightning.errors import InputError
from nst_lightning.images.io import from_pil, read_image
from nst_lightning.images.opening import current_max_pixels, limit_pixels, open_picture, suspend_pillow_limit


def write_bomb(path: Path, width: int = 60000, height: int = 60000) -> Path:
    """Writes a PNG of few bytes with the header of a huge picture."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


def save_picture(path: Path, width: int = 12, height: int = 10) -> Path:
    Image.new("RGB", (width, height), "red").save(path)
    return path


def test_bomb_is_refused_before_its_pixels_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*unused: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    path = write_bomb(tmp_path / "bomb.png")
    with pytest.raises(InputError, match=r"at most 4e\+08 pixels, but .*bomb.png has 60000x60000 px: .*3600000000.*$"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff", "a.gif"])
def test_limit_names_the_option_and_is_inclusive(tmp_path: Path, name: str) -> None:
    path = save_picture(tmp_path / name)
    with limit_pixels(120):
        assert read_image(path).image.shape == (1, 3, 10, 12)
    with limit_pixels(119), pytest.raises(InputError, match=r"at most 119 pixels, but .* 12x10 px: .*--max_pixels 120"):
        read_image(path)


def test_limit_holds_for_pictures_of_pillow() -> None:
    picture = Image.new("RGB", (12, 10))
    assert from_pil(picture).image.shape == (1, 3, 10, 12)
    with limit_pixels(119), pytest.raises(InputError, match="12x10 px"):
        from_pil(picture)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff", "a.gif"])
def test_picture_beyond_the_limit_of_pillow_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = save_picture(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert read_image(path).image.shape == (1, 3, 10, 12)
    assert Image.MAX_IMAGE_PIXELS == 20


def test_limit_ends_with_its_block_also_after_an_error() -> None:
    default = current_max_pixels()
    with pytest.raises(ZeroDivisionError), limit_pixels(0.5):
        1 // int(current_max_pixels())
    assert current_max_pixels() == default


def test_limit_of_one_thread_does_not_hold_in_another() -> None:
    default, seen = current_max_pixels(), []
    with limit_pixels(5):
        thread = threading.Thread(target=lambda: seen.append(current_max_pixels()))
        thread.start()
        thread.join()
    assert seen == [default]


def test_limit_of_pillow_is_restored_by_the_last_of_overlapping_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    is_inside, may_leave = threading.Event(), threading.Event()

    def suspend() -> None:
        with suspend_pillow_limit():
            is_inside.set()
            may_leave.wait(60)

    with suspend_pillow_limit():
        thread = threading.Thread(target=suspend)
        thread.start()
        assert is_inside.wait(60)
    assert Image.MAX_IMAGE_PIXELS is None
    may_leave.set()
    thread.join()
    assert Image.MAX_IMAGE_PIXELS == 20


def test_limit_of_pillow_is_restored_after_an_error(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(InputError), open_picture(write_bomb(tmp_path / "bomb.png")):
        pass
    assert before is not None
    assert before == Image.MAX_IMAGE_PIXELS
