import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

import nst_lightning
from nst_lightning import InputError, StyleSource, stylize
from nst_lightning.functional.color import srgb_to_oklab
from nst_lightning.functional.pixels import total_variation
from nst_lightning.images.io import from_pil, to_pil, write_image
from nst_lightning.images.resize import resize
from nst_lightning.losses import ContentLoss, GramLoss, TotalVariationLoss
from nst_lightning.optim import CompactLBFGS
from tests.helpers import TinyBackbone, compute_term, fake_threads, set_target, smooth_image, write_pair

LAYERS: dict[str, Any] = {"content_layers": ["conv_2"], "style_layers": ["conv_1", "conv_3"], "accelerator": "cpu"}


def stylize_quickly(*args: Any, **options: Any) -> Image.Image:
    given: dict[str, Any] = {"size": 24, "steps": 8, "backbone": TinyBackbone(), "progress": False} | LAYERS | options
    return stylize(*args, **given)


def test_stylize_accepts_paths_and_pictures(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    first = stylize_quickly(content, str(style))
    with Image.open(content) as a, Image.open(style) as b:
        second = stylize_quickly(a, b)
    assert first.size == (24, 18)
    assert first.mode == "RGB"
    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != stylize_quickly(content, str(style), style_weight=0.0).tobytes()


def test_stylize_refuses_pictures_above_the_limit(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    with Image.open(content) as opened:
        for picture in (content, opened):
            with pytest.raises(InputError, match=r"at most 1100 pixels, but .* 40x30 px"):
                stylize_quickly(picture, style, max_pixels=1100)
    with pytest.raises(InputError, match=r"at most 1000 pixels, but .* 30x36 px"):
        stylize_quickly(None, style, max_pixels=1000)
    assert stylize_quickly(content, style, max_pixels=1200).size == (24, 18)


def test_stylize_reduces_the_style_distance(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    backbone = TinyBackbone()
    loss = GramLoss(["conv_1", "conv_3"])
    with Image.open(style) as picture:
        set_target(loss, backbone(resize(from_pil(picture).image, 24, 20), ["conv_1", "conv_3"]))

    def distance(picture: Image.Image) -> float:
        with torch.no_grad():
            return float(compute_term(loss, backbone(from_pil(picture).image, ["conv_1", "conv_3"])))

    with Image.open(content) as picture:
        before = distance(picture)
    assert distance(stylize_quickly(content, style, steps=60, content_weight=0.0)) < 0.1 * before


def test_stylize_paints_tiles(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    plain, tile = (stylize(content, style, 36, 2, tileable=tileable, progress=False) for tileable in (None, True))
    assert plain.size == (36, 27)
    assert tile.size == (40, 24)


def test_stylize_paints_as_strongly_as_requested(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    results = {
        strength: stylize(content, style, 24, 12, strength=strength, progress=False)
        for strength in (None, 0.0, 0.5, 1.0)
    }
    with Image.open(content) as picture:
        photograph = to_pil(resize(from_pil(picture).image, 18, 24))
    assert results[0.0].tobytes() == photograph.tobytes()
    assert results[0.5].tobytes() == results[None].tobytes()
    assert results[1.0].tobytes() not in (results[0.0].tobytes(), results[None].tobytes())
    with pytest.raises(InputError, match=r"`model\.strength` to be from 0"):
        stylize_quickly(content, style, strength=1.5)


def test_stylize_smooths_according_to_the_weight(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    rough, smooth, flat = (
        float(total_variation(from_pil(stylize_quickly(*pair, steps=30, smooth_weight=weight)).image))
        for weight in (0.0, None, 1e5)
    )
    assert flat < 0.5 * smooth
    assert smooth < rough


def test_stylize_of_one_picture_starts_from_seeded_noise(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    assert stylize_quickly(content, None, seed=1).tobytes() == stylize_quickly(content, None, seed=1).tobytes()
    assert stylize_quickly(content, None, seed=1).tobytes() != stylize_quickly(content, None, seed=2).tobytes()
    assert stylize_quickly(None, style).size == (20, 24)


def test_stylize_accepts_terms_and_optimizer() -> None:
    picture = to_pil(smooth_image(24, 24))
    result = stylize_quickly(
        picture,
        None,
        losses={"content": ContentLoss(["conv_1"]), "smooth": TotalVariationLoss()},
        optimizer=lambda p: torch.optim.Adam(p, lr=0.05),
        precision="bf16-mixed",
        ladder="octaves",
    )
    assert result.size == (24, 24)


def test_stylize_restores_alpha(tmp_path: Path) -> None:
    alpha = torch.ones(1, 1, 24, 24)
    alpha[..., :9] = 0
    write_image(tmp_path / "a.png", smooth_image(24, 24), alpha)
    result = stylize_quickly(tmp_path / "a.png", tmp_path / "a.png")
    assert result.mode == "RGBA"
    assert torch.equal(from_pil(result).alpha, alpha)  # type: ignore[arg-type]


def test_stylize_accepts_names_of_samples() -> None:
    assert stylize_quickly("sample:cat", ["sample:waves", "sample:ink"]).size == (20, 24)


def test_stylize_accepts_styles_with_options(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    with Image.open(style) as picture:
        own = [StyleSource(style, 2, [0.5, 1.0]), StyleSource(picture, rotation=90), "sample:ink"]
        first = stylize_quickly(content, own, style_match="short")
        second = stylize_quickly(content, [picture, style, "sample:ink"], style_weights=[2, 1, 1], style_scale=[0.5, 1])
        turned = stylize_quickly(content, StyleSource(picture, rotation=90))
    assert first.tobytes() != second.tobytes()
    assert turned.tobytes() == stylize_quickly(content, style, style_rotation=90).tobytes()
    with pytest.raises(InputError, match="but got both"):
        stylize_quickly(content, own, style_weights=[1, 1, 1])
    with pytest.raises(InputError, match="multiple of 90"):
        stylize_quickly(content, style, style_rotation=[0, 10])


def test_stylize_matches_start_and_result(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    target = from_pil(Image.open(style)).image.mean((0, 2, 3))

    def distance(**options: Any) -> float:
        result = stylize_quickly(content, style, steps=1, **options)
        return float((from_pil(result).image.mean((0, 2, 3)) - target).norm())

    plain = distance()
    assert distance(palette_start=1, palette_space="rgb") < 0.3 * plain
    assert distance(palette_result=1) < 0.1 * plain
    with pytest.raises(InputError, match=r"`palette.result` to be from 0 to 1"):
        distance(palette_result=2)
    with pytest.raises(InputError, match="a style whose colors"):
        stylize_quickly(content, None, palette_result=1)


def test_stylize_keeps_the_colors_of_the_content(tmp_path: Path) -> None:
    _, style = write_pair(tmp_path)
    # Pale enough for sRGB to have the colors of the content at most lightnesses.
    content = to_pil(0.4 + 0.2 * smooth_image(18, 24, seed=1))
    target = srgb_to_oklab(from_pil(content).image)[:, 1:]

    def distance(**options: Any) -> float:
        result = stylize_quickly(content, style, **options)
        return float((srgb_to_oklab(from_pil(result).image)[:, 1:] - target).norm(dim=1).mean())

    plain, mapped, exact = distance(), distance(colors="content"), distance(colors="luminance")
    assert exact < 0.2 * plain
    assert exact < mapped < plain
    assert exact < distance(colors="luminance", color_strength=0.5) < plain
    assert stylize_quickly(content, StyleSource(style, colors="luminance")).tobytes() == (
        stylize_quickly(content, style, colors="luminance").tobytes()
    )
    with pytest.raises(InputError, match="Expected a content whose colors"):
        stylize_quickly(None, style, colors="content")


def test_stylize_rejects_missing_pictures() -> None:
    with pytest.raises(InputError, match="neither"):
        stylize_quickly(None, None)
    with pytest.raises(InputError, match=r"nowhere\.jpg"):
        stylize_quickly("nowhere.jpg", None)


def test_stylize_writes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = to_pil(smooth_image(24, 24)), to_pil(smooth_image(20, 20, seed=3))
    stylize_quickly(*pictures, on_preview=lambda picture: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", nst_lightning.__all__)
def test_public_name_exists(name: str) -> None:
    assert getattr(nst_lightning, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'styleize'"):
        _ = nst_lightning.styleize


def test_stylize_rejects_a_picture_that_does_not_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nst_lightning.training.memory_estimate.free_bytes", lambda device: 10**6)
    with pytest.raises(InputError, match="Expected the picture to fit into memory, but it needs about"):
        stylize("sample:harbour", "sample:swirl", size=512, steps=1, progress=False)


@pytest.mark.parametrize(("threads", "used"), [(None, 1), ("auto", 1), (2, 2)])
def test_stylize_uses_the_threads_during_the_call_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: Any, used: int
) -> None:
    seen = []
    step = CompactLBFGS.step
    fake_threads(monkeypatch, 1)

    def record_threads(self: CompactLBFGS, closure: Any = None) -> Any:
        seen.append(torch.get_num_threads())
        return step(self, closure)

    monkeypatch.setattr(CompactLBFGS, "step", record_threads)
    stylize_quickly(*write_pair(tmp_path), threads=threads)
    assert seen == [used] * 8
    assert torch.get_num_threads() == 1


def test_stylize_rejects_no_threads(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="threads"):
        stylize_quickly(*write_pair(tmp_path), threads=0)


def test_stylize_accepts_masks_as_files_pictures_and_arrays(tmp_path: Path) -> None:
    content, style = write_pair(tmp_path)
    left = np.zeros((30, 40), np.uint8)
    left[:, :20] = 255
    Image.fromarray(left).save(tmp_path / "left.png")
    for mask in (left, left > 0, Image.fromarray(left), tmp_path / "left.png"):
        own = StyleSource(style, mask=mask)
        result = stylize_quickly(
            content, [own, {"file": style, "scale": 0.5}], rest=1, hold=mask, hold_weight=2, style_strength=mask
        )
        assert result.size == (24, 18)
    labels = (left > 0).astype(np.uint8)
    mapped = {"file": style, "map": np.zeros((36, 30), np.uint8)}
    assert stylize_quickly(content, mapped, content_map=labels, rest="content").size == (24, 18)
    with pytest.raises(InputError, match=r"50.0 % of the picture has none"):
        stylize_quickly(content, StyleSource(style, mask=left))


def write_recipe(folder: Path) -> Path:
    """Writes a recipe of one term and returns its path."""
    path = folder / "recipe.yaml"
    losses = "{texture: {class_path: GramLoss, init_args: {layers: [conv_1]}}, "
    losses += "shapes: {class_path: ContentLoss, init_args: {layers: [conv_2]}}}"
    model = f"{{backbone: tests.helpers.TinyBackbone, losses: {losses}}}"
    path.write_text(f"{{data: {{plan: {{size: 24, steps: 3}}}}, trainer: {{accelerator: cpu}}, model: {model}}}")
    return path


def test_stylize_paints_any_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, style = write_pair(tmp_path)
    recipe = write_recipe(tmp_path)
    picture = stylize(content, style, recipe=recipe, progress=False)
    assert picture.size == (24, 18)
    assert stylize(content, style, recipe=str(recipe), progress=False).tobytes() == picture.tobytes()
    # Terms whose picture is missing are left out.
    assert stylize(content, None, recipe=recipe, progress=False).size == (24, 18)
    assert stylize(None, style, recipe=recipe, progress=False).size == (20, 24)
    transfer = stylize(content, style, 24, 2, progress=False)
    # The recipe of the package, not that of the working folder.
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "transfer.yaml").write_text("{data: {plan: {size: 8}}}")
    monkeypatch.chdir(tmp_path)
    assert stylize(content, style, 24, 2, progress=False, recipe="transfer").tobytes() == transfer.tobytes()
    assert stylize(content, style, 24, 2, progress=False, recipe="report").tobytes() != transfer.tobytes()
    for name in ("nothing", "missing.yaml", "assignment"):
        with pytest.raises(InputError, match="Expected"):
            stylize(content, style, recipe=name, progress=False)


def test_stylize_gives_previews_to_a_function(tmp_path: Path) -> None:
    pictures: list[Image.Image] = []
    plain = stylize_quickly(*write_pair(tmp_path))
    result = stylize_quickly(*write_pair(tmp_path), on_preview=pictures.append)
    assert result.tobytes() == plain.tobytes()
    assert pictures
    assert {picture.size for picture in pictures} == {result.size}


class FakeDisplay:
    """Stands for the display of a notebook."""

    calls: ClassVar[list[tuple[str, Image.Image]]] = []

    def display(self, picture: Image.Image) -> None:
        self.calls.append(("display", picture))

    def update(self, picture: Image.Image) -> None:
        self.calls.append(("update", picture))


def test_stylize_updates_one_display_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("IPython.display")
    monkeypatch.setattr(module, "DisplayHandle", FakeDisplay, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(FakeDisplay, "calls", [])
    result = stylize_quickly(*write_pair(tmp_path), show=True)
    (first, _), *others = FakeDisplay.calls
    assert first == "display"
    assert others
    assert {name for name, _ in others} == {"update"}
    assert others[-1][1].tobytes() == result.tobytes()


def test_stylize_needs_ipython_to_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(InputError, match="pip install ipython"):
        stylize_quickly(*write_pair(tmp_path), show=True)


def test_interrupt_returns_the_picture_as_it_is(tmp_path: Path) -> None:
    pictures: list[Image.Image] = []

    def interrupt(picture: Image.Image) -> None:
        pictures.append(picture)
        signal.raise_signal(signal.SIGINT)

    result = stylize_quickly(*write_pair(tmp_path), steps=50, on_preview=interrupt)
    assert [picture.tobytes() for picture in pictures] == [result.tobytes()]
    assert result.tobytes() == stylize_quickly(*write_pair(tmp_path), steps=1).tobytes()


def test_keyboard_interrupt_of_a_function_returns_the_picture(tmp_path: Path) -> None:
    def interrupt(picture: Image.Image) -> None:
        raise KeyboardInterrupt

    result = stylize_quickly(*write_pair(tmp_path), steps=50, on_preview=interrupt)
    assert result.tobytes() == stylize_quickly(*write_pair(tmp_path), steps=1).tobytes()


def test_interrupt_before_the_first_step_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*unused: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(CompactLBFGS, "step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stylize_quickly(*write_pair(tmp_path))
