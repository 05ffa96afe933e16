"""Opening of picture files, with one limit on their size in place of Pillow's."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from PIL import Image

from nst_lightning.errors import InputError

# A picture of this size has 4.8 GB as float32.
DEFAULT_MAX_PIXELS = 400e6

# A context variable and no global: two runs in two threads have limits of their own, and a run leaves nothing behind.
_max_pixels: ContextVar[float] = ContextVar("max_pixels", default=DEFAULT_MAX_PIXELS)


class _PillowLimit:
    """Pillow's own limit, which is one for all threads; see :func:`suspend_pillow_limit`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.suspensions = 0
        self.stored: int | None = None


_pillow_limit = _PillowLimit()


@contextmanager
def limit_pixels(max_pixels: float) -> Iterator[None]:
    """Limits the pixels of the pictures that are read inside a ``with`` block of this thread.

    Args:
        max_pixels: width times height in px.
    """
    token = _max_pixels.set(max_pixels)
    try:
        yield
    finally:
        _max_pixels.reset(token)


def current_max_pixels() -> float:
    """Returns the limit of the current context, for threads that it starts."""
    return _max_pixels.get()


def check_pixels(size: tuple[int, int], name: str) -> None:
    """Checks the size of a picture, before its pixels are decoded.

    Args:
        size: width and height in px.
        name: name of the picture in the message.

    Raises:
        InputError: it has more pixels than the current limit.
    """
    width, height = size
    if width * height > current_max_pixels():
        raise InputError(
            f"Expected a picture of at most {current_max_pixels():.4g} pixels, but {name} has {width}x{height} px: "
            f"raise `max_pixels` (--max_pixels {width * height}) if you trust it."
        )


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """Opens a picture file of any size up to the current limit; its pixels are decoded inside the ``with`` block.

    Raises:
        InputError: it has more pixels than the limit.
        Exception: it cannot be opened; the readers of formats raise many kinds of exceptions.
    """
    with suspend_pillow_limit(), Image.open(path) as opened:
        check_pixels(opened.size, str(path))
        yield opened


def explain(error: Exception) -> str:
    """Returns the message of an error, or its type if it has none, such as MemoryError."""
    return str(error) or type(error).__name__


@contextmanager
def suspend_pillow_limit() -> Iterator[None]:
    """Suspends Pillow's own limit, which is checked at many places and warns from 90 megapixels on.

    The first block that is entered stores and removes it, and the last one that is left restores it, in whichever
    threads they are.
    """
    with _pillow_limit.lock:
        if not _pillow_limit.suspensions:
            _pillow_limit.stored, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _pillow_limit.suspensions += 1
    try:
        yield
    finally:
        with _pillow_limit.lock:
            _pillow_limit.suspensions -= 1
            if not _pillow_limit.suspensions:
                Image.MAX_IMAGE_PIXELS = _pillow_limit.stored
