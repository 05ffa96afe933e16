"""Import of the optional packages that only films need."""

from importlib import import_module
from typing import Any

from nst_lightning.errors import InputError

INSTALL_COMMAND = 'pip install "nst_lightning[video]"'

PACKAGE_NAMES = {"av": "PyAV", "cv2": "OpenCV"}


def import_extra(module: str) -> Any:
    """Imports an optional package.

    Args:
        module: ``av`` or ``cv2``.

    Returns:
        The module.

    Raises:
        InputError: the package is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = PACKAGE_NAMES[module]
        raise InputError(f"Expected {name} for films, but it is not installed: {INSTALL_COMMAND}.") from error
