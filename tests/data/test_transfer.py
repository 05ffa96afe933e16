from pathlib import Path

import pytest
import torch

from nst_lightning.data.content_source import NoContent, StillContent
from nst_lightning.data.film_content import FilmContent
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import StagePictures, StepLoader, TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, write_image
from tests.helpers import smooth_image, write_pair


def test_pictures_have_the_long_edge_of_the_stage(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    data = TransferData(str(content), str(style), plan=Plan(size=20))
    data.setup("fit")
    pictures = data.pictures(data.stages[0])
    assert pictures.content is not None
    assert pictures.content.shape == (1, 3, 15, 20)
    assert pictures.styles[0].shape == (1, 3, 20, 17)
    assert data.shape(data.stages[0]) == (15, 20)


def test_image_without_content_has_the_aspect_ratio_of_the_style(tmp_path: Path) -> None:
    _, style = write_pair(tmp_path)
    data = TransferData(style=[str(style)], plan=Plan(size=20))
    data.setup("fit")
    assert data.shape(data.stages[0]) == (20, 17)
    assert data.pictures(data.stages[0]).content is None


def test_blend_weights_of_styles_sum_to_one() -> None:
    pictures = [Picture(smooth_image(8, 8, seed)) for seed in (1, 2)]
    assert TransferData.from_pictures(None, pictures, Plan()).styles.blend_weights == [0.5, 0.5]
    assert TransferData.from_pictures(None, pictures, Plan(), [1.0, 3.0]).styles.blend_weights == [0.25, 0.75]
    for wrong in ([], [1.0], [0.0, 0.0], [2.0, -1.0]):
        with pytest.raises(InputError, match="for each of the 2 styles"):
            TransferData.from_pictures(None, pictures, Plan(), wrong)


def test_alpha_of_the_content_has_the_size_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    alpha = torch.zeros(1, 1, 8, 8)
    alpha[..., 4:] = 1
    write_image(path, smooth_image(8, 8), alpha)
    data = TransferData(str(path))
    data.setup("fit")
    actual = data.alpha(16, 16)
    assert actual is not None
    assert actual.shape == (1, 1, 16, 16)
    assert actual[0, 0, 8, 1] < 0.05
    assert actual[0, 0, 8, -2] > 0.95


def test_data_requires_a_content_or_a_style() -> None:
    with pytest.raises(InputError, match="a content or a style, but got neither"):
        TransferData().setup("fit")


def test_step_loader_counts_steps() -> None:
    steps = StepLoader(3)
    assert len(steps) == 3
    assert list(steps) == [0, 1, 2]


def test_stage_pictures_all_move_to_a_device() -> None:
    image = smooth_image(8, 8)
    moved = StagePictures(image, [image], [1.0], {1: (image, image[:, :1])}, image, image).to(torch.device("meta"))
    assert moved.content is not None
    assert moved.start is not None
    assert moved.recolored is not None
    assert moved.start_content is moved.recolored
    tensors = [moved.content, *moved.styles, *moved.previous[1], moved.start, moved.recolored]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.blend_weights == [1.0]


def test_content_source_depends_on_the_content(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    for content_option, kind in ((str(content), StillContent), (None, NoContent), ("sample:clip", FilmContent)):
        data = TransferData(content_option, str(style), plan=Plan(size=20))
        with pytest.raises(RuntimeError, match=r"call setup\(\) first"):
            data.pictures(data.stages[0])
        data.setup("fit")
        source = data.source
        assert type(source) is kind
        data.setup("fit")
        assert data.source is source, "pictures are read once"
        assert (data.film is source) == (kind is FilmContent)
        assert (data.content is not None) == (kind is StillContent)
        data.teardown("fit")
    assert len(data.stages) == 24


def test_styles_are_resized_once_per_size(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    data = TransferData(str(content), str(style), plan=Plan(size=40, ladder="octaves", smallest=20))
    data.setup("fit")
    small, large = (data.pictures(stage).styles[0] for stage in data.stages)
    assert (small.shape[-2], large.shape[-2]) == (20, 40)
    assert data.pictures(data.stages[1]).styles[0] is large
    assert torch.equal(data.pictures(data.stages[0]).styles[0], small)
