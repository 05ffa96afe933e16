from functools import partial

import pytest
import torch

from nst_lightning.backbones import VGG19, SlimVGG19
from nst_lightning.backbones.blocks import BlockNetwork
from nst_lightning.backbones.features import Features
from nst_lightning.backbones.image_tiles import TileGrid

LAYERS = ["conv_1", "relu1_2", "conv_3", "relu3_1", "conv_9", "relu5_1"]


@pytest.mark.parametrize("length", [16, 40, 64, 97, 133])
@pytest.mark.parametrize("size", [8, 24, 40, 64])
def test_cores_cover_the_image_once_and_crops_contain_them(length: int, size: int) -> None:
    grid = TileGrid(length, 50, size, 8, {1: 20})
    covered = torch.zeros(length, 50)
    for tile in grid.tiles:
        top, bottom, left, right = tile.core
        covered[top:bottom, left:right] += 1
        assert (top % 8, left % 8, tile.crop[0] % 8, tile.crop[2] % 8) == (0, 0, 0, 0)
        assert tile.crop[0] == 0 or top - tile.crop[0] >= 20
        assert tile.crop[1] == length or tile.crop[1] - bottom >= 20
        assert bottom - top < 2 * size
    assert bool((covered == 1).all())


@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_positions_of_the_tiles_cover_each_layer_once(step: int) -> None:
    grid = TileGrid(101, 75, 24, 8, {1: 20})
    height, width = grid.size_of(step)
    covered = torch.zeros(height, width)
    for tile in grid.tiles:
        top, bottom, left, right = grid.positions(tile, step)
        covered[top:bottom, left:right] += 1
    assert (height, width) == (101 // step, 75 // step)
    assert bool((covered == 1).all())


@pytest.mark.parametrize(
    ("height", "width", "shares", "grid"),
    [(2048, 2048, 2, (2, 1)), (1536, 2048, 2, (2, 1)), (2048, 512, 2, (2, 1)), (512, 2048, 2, (1, 2))],
)
def test_shares_are_rows_unless_columns_save_much(height: int, width: int, shares: int, grid: tuple[int, int]) -> None:
    tiles = TileGrid(height, width, 4096, 8, {1: 38}, shares).tiles
    assert (len({tile.core[0] for tile in tiles}), len({tile.core[2] for tile in tiles})) == grid
    assert len({(bottom - top) * (right - left) for top, bottom, left, right in (t.core for t in tiles)}) == 1


@pytest.mark.parametrize("shape", [(96, 128), (101, 75), (61, 53)])
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_features_of_tiles_are_those_of_the_image(shape: tuple[int, int], pooling: str, padding: str) -> None:
    network = SlimVGG19(pooling=pooling, padding=padding)  # type: ignore[arg-type]
    compare_features(network, LAYERS[:-1], shape, 24)


def test_features_of_deep_layers_of_tiles_are_those_of_the_image() -> None:
    compare_features(VGG19(weights="random"), LAYERS, (112, 135), 32)


def compare_features(network: BlockNetwork, layers: list[str], shape: tuple[int, int], size: int) -> None:
    network.build(layers)
    network.double()
    image = torch.rand(1, 3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole = network(image, layers)
    grid = TileGrid(*shape, size, network.smallest_size(layers), network.receptive_radii(layers))
    assert len(grid.tiles) > 3
    for tile in grid.tiles:
        features = Features.join(list(network.stream(tile.cut(image), layers, partial(grid.trim, tile))))
        for layer in layers:
            step = network.step(layer)
            top, bottom, left, right = grid.positions(tile, step)
            torch.testing.assert_close(
                grid.cut_core(features[layer], tile, step), whole[layer][..., top:bottom, left:right]
            )


def test_margins_fall_with_depth_and_begin_at_positions_of_the_next_smaller_one() -> None:
    network = VGG19(weights="random")
    radii = network.receptive_radii(["conv5_1"])
    assert radii == {1: 70, 2: 68, 4: 64, 8: 48, 16: 16}
    grid = TileGrid(512, 512, 128, 16, radii)
    assert grid.margins == {1: 72, 8: 48, 16: 16}
    assert TileGrid(512, 512, 128, 16, radii, reach=50).margins == {1: 128, 16: 80}
    middle = grid.tiles[5]
    assert [grid.crop(middle, step)[0] for step in (1, 2, 4, 8, 16)] == [56, 56, 56, 80, 112]
    assert grid.trim(middle, torch.zeros(1, 1, 34, 34), 8).shape == (1, 1, 28, 28)
    assert grid.trim(middle, torch.zeros(1, 1, 68, 68), 4).shape == (1, 1, 68, 68)
    assert grid.trim(grid.tiles[0], torch.zeros(1, 1, 25, 25), 8).shape == (1, 1, 22, 22)


def test_exchanged_margins_cover_the_layers_before_the_next_exchange() -> None:
    radii = VGG19(weights="random").receptive_radii(["conv5_1"])
    own = TileGrid(2048, 2048, 4096, 16, radii, shares=2)
    grid = own.exchanged()
    assert grid is not None
    assert own.margins == {1: 72, 8: 48, 16: 16}
    assert grid.margins == {1: 8, 4: 16, 8: 32, 16: 16}
    assert TileGrid(2048, 2048, 4096, 16, radii, 2, reach=50, is_exchanged=True).margins == {
        1: 56,
        4: 72,
        8: 96,
        16: 80,
    }
    assert [tile.core for tile in grid.tiles] == [tile.core for tile in own.tiles]
    assert grid.crop(grid.tiles[0], 2) == (0, 1024 + 8, 0, 2048)
    assert grid.read_positions(grid.tiles[1], 8) == (124, 256, 0, 256)
    # The cores stay the same where other margins would make columns cheaper.
    for width in range(2048, 8192, 512):
        shares = TileGrid(1024, width, 8192, 16, radii, shares=2)
        exchanged = shares.exchanged()
        assert exchanged is not None
        assert [tile.core for tile in exchanged.tiles] == [tile.core for tile in shares.tiles]


def test_margins_are_exchanged_between_devices_with_one_tile_each() -> None:
    radii = VGG19(weights="random").receptive_radii(["conv5_1"])
    assert TileGrid(512, 512, 1024, 16, radii).exchanged() is None
    assert TileGrid(512, 512, 128, 16, radii, shares=2).exchanged() is None
    assert TileGrid(16, 16, 512, 16, radii, shares=2).exchanged() is None
    assert TileGrid(512, 512, 512, 16, {1: 70}, shares=2).exchanged() is None
    assert TileGrid(512, 512, 512, 16, radii, shares=2).exchanged() is not None


def test_a_smaller_margin_is_not_enough() -> None:
    network = VGG19(weights="random")
    network.build(["conv_4"])
    network.double()
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    radius = network.receptive_radius(["conv_4"])
    assert radius == 6
    whole = network(image, ["conv_4"])["conv_4"]
    # Four pixels are two positions of this layer, one less than its convolutions read.
    for margin, is_equal in ((radius, True), (radius - 2, False)):
        grid = TileGrid(64, 64, 32, 2, {1: margin})
        tile = grid.tiles[0]
        core = grid.cut_core(network(tile.cut(image), ["conv_4"])["conv_4"], tile, 2)
        assert torch.allclose(core, whole[..., :16, :16], rtol=1e-12, atol=0) == is_equal
