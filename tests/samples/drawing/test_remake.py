from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nst_lightning.samples import sample_path
from nst_lightning.samples.drawing import remake

QUICK = ("waves", "geometric")


@pytest.mark.parametrize("name", QUICK)
def test_drawing_equals_the_shipped_picture(name: str) -> None:
    first, second = remake.draw(name), remake.draw(name)
    assert first.tobytes() == second.tobytes()
    with Image.open(sample_path(name)) as image:
        shipped = np.asarray(image.convert("RGB"), dtype=np.float32)
    drawn = np.asarray(first, dtype=np.float32)
    assert shipped.shape == drawn.shape
    assert np.abs(shipped - drawn).mean() < 8


def test_remake_replaces_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nst_lightning.samples.gallery.FILES", tmp_path)
    monkeypatch.setattr(remake, "SAMPLES", ("waves",))
    assert remake.main([]) == 0
    with Image.open(tmp_path / "waves.webp") as image:
        assert max(image.size) == 768


def test_remake_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert remake.main(["nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: Expected a sample among ")
