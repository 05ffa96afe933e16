"""The sound of films that are written."""

from fractions import Fraction
from pathlib import Path

import pytest

from nst_lightning.samples import sample_path
from nst_lightning.samples.drawing.clip import Clip
from nst_lightning.video.film import Film
from nst_lightning.video.sound import Sound
from nst_lightning.video.writer import write_film
from tests.video.films import create_pictures, create_timing, read_audio_packets, read_sound


@pytest.mark.parametrize(("ending", "codec"), [(".mp4", "aac"), (".mov", "aac"), (".mkv", "aac"), (".webm", "opus")])
def test_film_sound_is_copied_and_cut(ending: str, codec: str, tmp_path: Path) -> None:
    source = str(sample_path("clip"))
    sound = Sound(source, Fraction(1, 2), Fraction(3, 2))
    write_film(tmp_path / f"film{ending}", iter(create_pictures(12, Clip(12, 64, 48))), create_timing(12), sound)
    name, seconds, loudness = read_sound(tmp_path / f"film{ending}")
    assert name == codec
    assert seconds == pytest.approx(1, abs=0.06)
    assert loudness > 0.02


def test_film_sound_is_not_encoded_again_if_it_fits(tmp_path: Path) -> None:
    sound = Sound(str(sample_path("clip")), Fraction(0), Fraction(2))
    write_film(tmp_path / "film.mp4", iter(create_pictures(24, Clip(24, 64, 48))), create_timing(24), sound)
    assert set(read_audio_packets(tmp_path / "film.mp4")) <= set(read_audio_packets(sample_path("clip")))
    assert len(read_audio_packets(tmp_path / "film.mp4")) >= 90


def test_film_format_without_sound_is_silent(tmp_path: Path) -> None:
    sound = Sound(str(sample_path("clip")), Fraction(0), Fraction(1))
    write_film(tmp_path / "film.gif", iter(create_pictures()), create_timing(6), sound)
    assert Film(tmp_path / "film.gif").reader.sound is None
