from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from nst_lightning.data.label_maps import match_labels, read_label_map
from nst_lightning.data.masks import read_mask
from nst_lightning.errors import InputError
from tests.helpers import smooth_image

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 128, 0)


def draw(*colors: Any, mode: str = "RGB") -> Image.Image:
    """Draws vertical stripes of 8 px each."""
    picture = Image.new(mode, (8 * len(colors), 24))
    for number, color in enumerate(colors):
        picture.paste(color, (8 * number, 0, 8 * number + 8, 24))
    return picture


def draw_palette(indices: list[int], colors: list[tuple[int, int, int]]) -> Image.Image:
    picture = draw(*indices, mode="P")
    picture.putpalette([channel for color in colors for channel in color])
    return picture


def save(path: Path, picture: Image.Image, **options: Any) -> str:
    picture.save(path, **options)
    return str(path)


def test_labels_are_exact_colors(tmp_path: Path) -> None:
    labels = read_label_map(save(tmp_path / "m.png", draw(RED, BLUE, RED)), "`map`")
    assert set(labels.labels().values()) == {"#ff0000", "#0000ff"}
    assert labels.shape == (24, 24)
    mask = labels.mask(0xFF0000FF)
    assert torch.equal(mask[0, 0, 0], torch.tensor([1.0] * 8 + [0.0] * 8 + [1.0] * 8))
    total = torch.stack([labels.mask(label) for label in labels.labels()]).sum(0)
    assert torch.equal(total, torch.ones(1, 1, 24, 24)), "every pixel has one label"


@pytest.mark.parametrize("label", ["#3", "#ff8800", "#FF8800"])
def test_area_of_a_palette_is_a_mask(tmp_path: Path, label: str) -> None:
    file = save(tmp_path / "seg.png", draw_palette([0, 3], [RED, BLUE, GREEN, (255, 136, 0)]))
    assert torch.equal(read_mask(file + label, "`mask`")[0, 0, 0], torch.tensor([0.0] * 8 + [1.0] * 8))


def test_gray_value_is_an_index(tmp_path: Path) -> None:
    file = save(tmp_path / "seg.png", draw(0, 7, mode="L"))
    assert torch.equal(read_mask(f"{file}#7", "`mask`"), read_mask(f"{file}#070707", "`mask`"))
    assert torch.equal(read_mask(f"{file}#7", "`mask`"), read_label_map(np.array(draw(0, 7, mode="L")), "").select("7"))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("#5", "the label #5 in .*seg.png, but its labels are #0, #3"),
        ("#0000ff", "the label #0000ff in .*seg.png, but its labels are #ff0000, #ff8800"),
        ("#sky", "an index such as #3, a color such as #ff8800, or #alpha after .*seg.png, but got #sky"),
        ("#1234", "an index such as #3"),
    ],
)
def test_unknown_labels_are_rejected(tmp_path: Path, label: str, message: str) -> None:
    file = save(tmp_path / "seg.png", draw_palette([0, 3], [(255, 136, 0), BLUE, GREEN, RED]))
    with pytest.raises(InputError, match=message):
        read_mask(file + label, "`mask`")


def test_index_requires_a_palette(tmp_path: Path) -> None:
    file = save(tmp_path / "m.png", draw(RED, BLUE))
    with pytest.raises(InputError, match=r"a palette in .*m.png for the index 3, but it has none"):
        read_mask(f"{file}#3", "`mask`")


def test_transparent_pixels_are_one_label() -> None:
    picture = draw((255, 0, 0, 0), (0, 0, 255, 0), (0, 0, 255, 255), mode="RGBA")
    assert set(read_label_map(picture, "`map`").labels().values()) == {"#00000000", "#0000ff"}


@pytest.mark.parametrize("name", ["m.jpg", "m.png"])
def test_jpeg_maps_are_rejected(tmp_path: Path, name: str) -> None:
    save(tmp_path / name, draw(RED, BLUE), format="JPEG")
    with pytest.raises(InputError, match="it is a JPEG, whose compression changes colors: save it as PNG"):
        read_mask(f"{tmp_path / name}#ff0000", "`mask`")
    with pytest.raises(InputError, match="it is a JPEG, whose compression changes colors: save it as PNG"):
        read_label_map(tmp_path / name, "`map`")


def test_pictures_with_too_many_colors_are_rejected(tmp_path: Path) -> None:
    photograph = Image.fromarray((smooth_image(24, 32)[0].permute(1, 2, 0) * 255).byte().numpy())
    large = Image.new("RGB", (512, 512), RED)
    ImageDraw.Draw(large).ellipse((40, 60, 400, 480), BLUE)
    antialiased, lossy = large.resize((128, 128), Image.Resampling.BICUBIC), tmp_path / "m.webp"
    large.save(lossy, quality=80)
    for picture in (photograph, antialiased, str(lossy)):
        with pytest.raises(
            InputError, match=r"one exact color for each area in .*, but it has .* colors, as after anti"
        ):
            read_label_map(picture, "`map`")
    assert len(read_label_map(large, "`map`").labels()) == 2


def test_map_of_many_areas_is_accepted() -> None:
    colors = [(number * 3, 255 - number, number * 5 % 256) for number in range(60)]
    assert len(read_label_map(draw(*colors), "`map`").labels()) == 60


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((4, 4)), "integers from 0 to 255"),
        (np.full((4, 4), 256), "integers from 0 to 255"),
        (np.zeros((4, 4, 3), np.uint8), "integers from 0 to 255"),
        (Image.new("I;16", (4, 4)), "8-bit colors or a palette in `map`, but got I;16"),
        (3, "`map` to be a color-coded picture, but got 3"),
    ],
)
def test_unusable_maps_are_rejected(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_label_map(source, "`map`")


def test_colors_in_one_map_only_are_named_with_both_files(tmp_path: Path) -> None:
    content = read_label_map(save(tmp_path / "content.png", draw(RED, BLUE)), "")
    fewer = read_label_map(save(tmp_path / "fewer.png", draw(RED)), "")
    other = read_label_map(save(tmp_path / "other.png", draw(RED, GREEN)), "")
    with pytest.raises(InputError, match=r"the color #0000ff of .*content.png in .*fewer.png too, but no style has it"):
        match_labels(content, [fewer], has_rest=False)
    with pytest.raises(InputError, match=r"#008000 of .*other.png in .*content.png too, but that map has only #0000ff"):
        match_labels(content, [fewer, other], has_rest=True)
    assert not match_labels(content, [fewer], has_rest=True)
    assert not match_labels(content, [content, fewer], has_rest=False)


def test_palettes_are_compared_by_color_unless_a_color_repeats() -> None:
    content = read_label_map(draw_palette([0, 1], [RED, BLUE]), "content")
    swapped = read_label_map(draw_palette([0, 1], [BLUE, RED]), "style")
    assert not match_labels(content, [swapped], has_rest=False)
    repeating = read_label_map(draw_palette([0, 1], [RED, RED]), "repeating")
    assert match_labels(content, [repeating], has_rest=False)
    with pytest.raises(InputError, match="Expected a palette in plain, as that of repeating has a color twice"):
        match_labels(read_label_map(draw(RED, BLUE), "plain"), [repeating], has_rest=False)


def test_integers_of_numpy_and_torch_are_maps() -> None:
    values = np.array([[0, 3]], np.int64)
    assert set(read_label_map(values, "`map`").labels(by_index=True)) == {0, 3}
    assert torch.equal(read_label_map(torch.from_numpy(values), "`map`").select("3"), torch.tensor([[[[0.0, 1.0]]]]))
