"""The packages that only films need."""

from importlib import import_module
from typing import Any

from nst_lightning.errors import InputError

INSTALL = 'pip install "nst_lightning[video]"'

NAMES = {"av": "PyAV", "cv2": "OpenCV"}


def import_extra(module: str) -> Any:
    """Imports a package that only films need.

    Args:
        module: ``av`` or ``cv2``.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"Expected {NAMES[module]} for films, but it is not installed: {INSTALL}.") from error
