from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nst_lightning.errors import InputError
from nst_lightning.samples import CONTENTS, MASKS, SAMPLES, STYLES, locate, sample_path, write_samples
from nst_lightning.samples.drawing import remake


def test_samples_have_unique_names() -> None:
    assert len(CONTENTS) >= 4
    assert len(STYLES) >= 6
    assert SAMPLES == CONTENTS + STYLES + MASKS
    assert len(set(SAMPLES)) == len(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_file_opens(name: str) -> None:
    with Image.open(sample_path(name)) as image:
        image.load()
        assert image.mode == "RGB"
        assert max(image.size) == 768
        assert min(image.size) >= 480


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_file_is_a_picture(name: str) -> None:
    with Image.open(sample_path(name)) as image:
        pixels = np.asarray(image.convert("L"), dtype=np.float32)
    assert pixels.std() > 20
    if name in STYLES:
        rows, columns = pixels.shape[0] // 64 * 64, pixels.shape[1] // 64 * 64
        tiles = pixels[:rows, :columns].reshape(rows // 64, 64, columns // 64, 64)
        assert tiles.std(axis=(1, 3)).min() > 1.5, "an area is empty"


def test_sample_files_are_small() -> None:
    assert sum(sample_path(name).stat().st_size for name in SAMPLES) < 1_500_000


@pytest.mark.parametrize("function", [remake.draw, sample_path])
def test_unknown_sample_is_rejected(function: object) -> None:
    assert callable(function)
    with pytest.raises(ValueError, match=r"^Expected a sample among harbour, .*, but got 'nothing'\.$"):
        function("nothing")


def test_locate_finds_samples_and_files() -> None:
    assert locate("sample:cat") == sample_path("cat")
    assert locate("folder/sample:cat") == Path("folder/sample:cat")
    with pytest.raises(InputError, match="but got 'dog'"):
        locate("sample:dog")


def test_write_samples_writes_all_files(tmp_path: Path) -> None:
    paths = write_samples(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [*(f"{name}.png" for name in SAMPLES), "clip.mp4"]
    assert sorted(paths) == sorted((tmp_path / "new" / "folder").iterdir())
    assert paths[-1].read_bytes() == sample_path("clip").read_bytes()
    for path in paths[:-1]:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.mode == "RGB"


def test_write_samples_leaves_no_file_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("nst_lightning.images.atomic.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_samples(tmp_path)
    assert list(tmp_path.iterdir()) == []
