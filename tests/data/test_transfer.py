from pathlib import Path

import pytest
import torch

from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import StepLoader, TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, write_image
from tests.tiny import smooth_image, write_pair


def test_pictures_have_the_long_edge_of_the_stage(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    data = TransferData(str(content), str(style), plan=Plan(size=20))
    data.setup("fit")
    pictures = data.pictures(data.stages[0])
    assert pictures.content is not None
    assert pictures.content.shape == (1, 3, 15, 20)
    assert pictures.styles[0].shape == (1, 3, 20, 17)
    assert data.shape(data.stages[0]) == (15, 20)


def test_without_a_content_the_image_has_the_styles_proportions(tmp_path: Path) -> None:
    _, style = write_pair(tmp_path)
    data = TransferData(style=[str(style)], plan=Plan(size=20))
    data.setup("fit")
    assert data.shape(data.stages[0]) == (20, 17)
    assert data.pictures(data.stages[0]).content is None


def test_shares_of_styles_sum_to_one() -> None:
    pictures = [Picture(smooth_image(8, 8, seed)) for seed in (1, 2)]
    assert TransferData.from_pictures(None, pictures, Plan()).blend_weights == [0.5, 0.5]
    assert TransferData.from_pictures(None, pictures, Plan(), [1.0, 3.0]).blend_weights == [0.25, 0.75]
    for wrong in ([], [1.0], [0.0, 0.0], [2.0, -1.0]):
        with pytest.raises(InputError, match="for each of the 2 styles"):
            TransferData.from_pictures(None, pictures, Plan(), wrong)


def test_alpha_is_that_of_the_content_at_the_size_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    alpha = torch.zeros(1, 1, 8, 8)
    alpha[..., 4:] = 1
    write_image(path, smooth_image(8, 8), alpha)
    data = TransferData(str(path))
    data.setup("fit")
    found = data.alpha(16, 16)
    assert found is not None
    assert found.shape == (1, 1, 16, 16)
    assert found[0, 0, 8, 1] < 0.05
    assert found[0, 0, 8, -2] > 0.95


def test_neither_content_nor_style_is_told() -> None:
    with pytest.raises(InputError, match="a content or a style, but got neither"):
        TransferData().setup("fit")


def test_steps_count() -> None:
    steps = StepLoader(3)
    assert len(steps) == 3
    assert list(steps) == [0, 1, 2]
