"""Fixtures that run `fit` in an empty folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nst_lightning.__main__ import main
from nst_lightning.images.io import write_image
from nst_lightning.samples.drawing.clip_file import write_clip
from tests.cli import film_run, transfer_run
from tests.helpers import smooth_image, write_pair


@pytest.fixture
def run_transfer(empty_folder: Path) -> Callable[..., int]:
    """Runs the transfer recipe on small pictures and returns the exit status."""
    write_pair(empty_folder)
    return lambda *args: main([*transfer_run.OPTIONS, *args])


@pytest.fixture
def run_film(empty_folder: Path) -> Callable[..., int]:
    """Paints a film of five small frames and returns the exit status."""
    write_clip(Path(film_run.CLIP_FILE), film_run.CLIP)
    write_image("style.png", smooth_image(30, 36, seed=2))
    return lambda *args: main([*film_run.OPTIONS, *args])
