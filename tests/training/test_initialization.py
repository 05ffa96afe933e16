from pathlib import Path

import pytest
import torch

from nst_lightning.errors import InputError
from nst_lightning.images.io import write_image
from nst_lightning.images.resize import resize
from nst_lightning.training.initialization import initial_image
from tests.helpers import smooth_image

CONTENT = smooth_image(20, 30, seed=1)
STYLE = smooth_image(40, 25, seed=2)


def create_start(name: str, seed: int = 0) -> torch.Tensor:
    return initial_image(name, CONTENT, STYLE, 20, 30, seed)


def test_content_initialization_is_a_copy() -> None:
    image = create_start("content")
    assert torch.equal(image, CONTENT)
    image.zero_()
    assert CONTENT.max() > 0


def test_style_initialization_has_the_shape_of_the_image() -> None:
    assert torch.equal(create_start("style"), resize(STYLE, 20, 30))


@pytest.mark.parametrize(("name", "mean", "std"), [("noise", 0.5, 12**-0.5), ("gaussian", 0.5, 0.25)])
def test_noise_initialization_is_seeded_and_has_its_distribution(name: str, mean: float, std: float) -> None:
    large = initial_image(name, None, None, 200, 200, 7)
    assert large.mean().item() == pytest.approx(mean, abs=0.01)
    assert large.std().item() == pytest.approx(std, abs=0.02)
    assert large.min() >= 0
    assert large.max() <= 1
    assert torch.equal(create_start(name, 3), create_start(name, 3))
    assert not torch.equal(create_start(name, 3), create_start(name, 4))


def test_noise_initialization_keeps_the_global_random_state() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    create_start("noise")
    assert torch.equal(torch.get_rng_state(), before)


def test_file_initialization_reads_an_image(tmp_path: Path) -> None:
    write_image(tmp_path / "start.png", STYLE)
    assert (create_start(str(tmp_path / "start.png")) - resize(STYLE, 20, 30)).abs().max() < 0.02


def test_initialization_rejects_missing_pictures() -> None:
    with pytest.raises(InputError, match=r"a content to start from, but none is given: add --data\.content FILE"):
        initial_image("content", None, STYLE, 20, 30, 0)
    with pytest.raises(InputError, match=r"a style to start from"):
        initial_image("style", CONTENT, None, 20, 30, 0)
    with pytest.raises(InputError, match="to be content, style, noise, gaussian or an image file"):
        create_start("nose")
