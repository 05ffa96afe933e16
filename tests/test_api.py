from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import nst_lightning
from nst_lightning import InputError, stylize
from nst_lightning.functional.pixels import total_variation
from nst_lightning.images.io import from_pil, to_pil, write_image
from nst_lightning.images.resize import resize
from nst_lightning.losses import ContentLoss, GramLoss, TotalVariationLoss
from tests.tiny import TinyBackbone, set_target, smooth_image, term, write_pair

LAYERS: dict[str, Any] = {"content_layers": ["conv_2"], "style_layers": ["conv_1", "conv_3"], "accelerator": "cpu"}


def paint(*args: Any, **options: Any) -> Image.Image:
    given: dict[str, Any] = {"size": 24, "steps": 8, "backbone": TinyBackbone(), "progress": False} | LAYERS | options
    return stylize(*args, **given)


def test_paths_and_pictures_give_the_same_result(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    first = paint(content, str(style))
    with Image.open(content) as a, Image.open(style) as b:
        second = paint(a, b)
    assert first.size == (24, 18)
    assert first.mode == "RGB"
    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != paint(content, str(style), style_weight=0.0).tobytes()


def test_it_comes_nearer_to_the_style(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    backbone = TinyBackbone()
    loss = GramLoss(["conv_1", "conv_3"])
    with Image.open(style) as picture:
        set_target(loss, backbone(resize(from_pil(picture).image, 24, 20), ["conv_1", "conv_3"]))

    def distance(picture: Image.Image) -> float:
        with torch.no_grad():
            return float(term(loss, backbone(from_pil(picture).image, ["conv_1", "conv_3"])))

    with Image.open(content) as picture:
        before = distance(picture)
    assert distance(paint(content, style, steps=60, content_weight=0.0)) < 0.1 * before


def test_it_is_smoothed_as_far_as_asked(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    rough, smooth, flat = (
        float(total_variation(from_pil(paint(*pair, steps=30, smooth_weight=weight)).image))
        for weight in (0.0, None, 1e5)
    )
    assert flat < 0.5 * smooth
    assert smooth < rough


def test_one_picture_alone_starts_from_seeded_noise(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    assert paint(content, None, seed=1).tobytes() == paint(content, None, seed=1).tobytes()
    assert paint(content, None, seed=1).tobytes() != paint(content, None, seed=2).tobytes()
    assert paint(None, style).size == (20, 24)


def test_own_terms_and_optimizer() -> None:
    picture = to_pil(smooth_image(24, 24))
    result = paint(
        picture,
        None,
        losses={"content": ContentLoss(["conv_1"]), "smooth": TotalVariationLoss()},
        optimizer=lambda p: torch.optim.Adam(p, lr=0.05),
        precision="bf16-mixed",
        ladder="octaves",
    )
    assert result.size == (24, 24)


def test_alpha_is_put_back(tmp_path: Path) -> None:
    alpha = torch.ones(1, 1, 24, 24)
    alpha[..., :9] = 0
    write_image(tmp_path / "a.png", smooth_image(24, 24), alpha)
    result = paint(tmp_path / "a.png", tmp_path / "a.png")
    assert result.mode == "RGBA"
    assert torch.equal(from_pil(result).alpha, alpha)  # type: ignore[arg-type]


def test_samples_have_names() -> None:
    assert paint("sample:cat", ["sample:waves", "sample:ink"]).size == (20, 24)


def test_mistakes_are_told() -> None:
    with pytest.raises(InputError, match="neither"):
        paint(None, None)
    with pytest.raises(InputError, match=r"nowhere\.jpg"):
        paint("nowhere.jpg", None)


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paint(to_pil(smooth_image(24, 24)), to_pil(smooth_image(20, 20, seed=3)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", nst_lightning.__all__)
def test_public_names_are_there(name: str) -> None:
    assert getattr(nst_lightning, name) is not None


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'styleize'"):
        _ = nst_lightning.styleize


def test_a_picture_that_does_not_fit_is_told_before_it_is_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nst_lightning.training.memory_estimate.free_bytes", lambda device: 10**6)
    with pytest.raises(InputError, match="Expected the picture to fit into memory, but it needs about"):
        stylize("sample:harbour", "sample:swirl", size=512, steps=1, progress=False)
