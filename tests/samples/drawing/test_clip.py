from pathlib import Path

import pytest

from nst_lightning.samples import sample_path
from nst_lightning.samples.drawing.clip import Clip
from nst_lightning.samples.drawing.clip_file import write_clip
from nst_lightning.video.film import Film
from tests.video.films import assert_close_to_picture, read_sound


def test_sample_clip_equals_the_drawn_clip(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", Clip())
    drawn, shipped = Film(tmp_path / "clip.mp4"), Film(sample_path("clip"))
    assert drawn.info == shipped.info
    assert float((drawn.frame(20, 192, 256) - shipped.frame(20, 192, 256)).abs().mean()) < 0.01
    assert_close_to_picture(shipped.frame(20, 192, 256), Clip().picture(20), 0.03)
    assert read_sound(sample_path("clip"))[1] == pytest.approx(2, abs=0.05)
    assert sample_path("clip").stat().st_size < 200_000
