import torch
from torch.nn import functional

from nst_lightning.images.resize import fit_long_edge, resize


def test_fit_long_edge_keeps_the_aspect_ratio() -> None:
    assert fit_long_edge(300, 400, 512) == (384, 512)
    assert fit_long_edge(400, 300, 512) == (512, 384)
    assert fit_long_edge(1, 1000, 100) == (1, 100)


def test_resize_keeps_the_range_and_the_mean() -> None:
    image = torch.rand(1, 3, 64, 48).round()
    small = resize(image, 16, 12)
    assert small.shape == (1, 3, 16, 12)
    assert small.min() >= 0
    assert small.max() <= 1
    torch.testing.assert_close(small.mean(), image.mean(), rtol=0.02, atol=0.0)


def test_resize_of_a_tile_commutes_with_shifts() -> None:
    image = torch.rand(1, 3, 16, 24)
    shifted = resize(image.roll((4, 6), (2, 3)), 32, 48, periodic=True)
    torch.testing.assert_close(shifted, resize(image, 32, 48, periodic=True).roll((8, 12), (2, 3)))
    assert shifted.min() >= 0
    assert shifted.max() <= 1
    assert (resize(image.roll((4, 6), (2, 3)), 32, 48) - shifted).abs().max() > 0.01


def test_resize_to_the_same_size_returns_the_image() -> None:
    image = torch.rand(1, 3, 8, 8)
    assert resize(image, 8, 8) is image


def test_resize_equals_the_interpolation_of_all_channels_at_once() -> None:
    image = torch.rand(2, 3, 31, 47)
    for shape in ((16, 12), (60, 20), (31, 100)):
        whole = functional.interpolate(image, size=shape, mode="bicubic", antialias=True).clamp(0, 1)
        assert torch.equal(resize(image, *shape), whole)
