from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from nst_lightning.backbones import VGG19
from nst_lightning.backbones.features import Features
from nst_lightning.backbones.image_tiles import TileGrid
from nst_lightning.training.margin_exchange import MarginExchange
from nst_lightning.training.ranks import Ranks
from tests.training.process_group import join_processes

LAYERS = ["conv1_2", "relu3_1", "conv4_2", "conv5_1"]

# Sizes of images, lengths of tiles, and the number of tiles and processes. Rows of 16 px are narrower than a margin.
SHAPES = [((101, 75), 80, 2), ((64, 48), 64, 4), ((112, 135), 80, 4)]


def create_network(padding: str = "zeros") -> VGG19:
    network = VGG19(weights="random", padding=padding)  # type: ignore[arg-type]
    network.build(LAYERS)
    return network.double()


def create_grid(network: VGG19, shape: tuple[int, int], size: int, shares: int, reach: int = 0) -> TileGrid:
    step, radii = network.smallest_size(LAYERS), network.receptive_radii(LAYERS)
    grid = TileGrid(*shape, size, step, radii, shares, reach).exchanged()
    assert grid is not None
    return grid


def draw(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def weigh(features: Features, weights: Features, layers: Iterable[str]) -> Tensor:
    """Returns a sum that depends on each position."""
    return torch.stack([(features[layer] * weights[layer]).sum() for layer in layers]).sum()


def compare_features(rank: int, shape: tuple[int, int], size: int, count: int, reach: int, store: str) -> None:
    """Compares features and gradient in a tile with those of the image."""
    with join_processes(rank, count, store):
        network = create_network("replicate" if reach else "zeros")
        image = draw(1, 3, *shape, seed=1).requires_grad_()
        whole = network(image, LAYERS)
        weights = whole.map_values(lambda name, value: draw(*value.shape, seed=LAYERS.index(name)))
        (expected,) = torch.autograd.grad(weigh(whole, weights, LAYERS), image)
        grid = create_grid(network, shape, size, count, reach)
        exchange = MarginExchange(grid, Ranks(rank, count))
        tile = grid.tiles[rank]
        assert exchange.tile == tile
        crop = tile.cut(image).detach().requires_grad_()
        features = Features.join(list(network.stream(crop, LAYERS, exchange)))
        cores = features.map_values(lambda name, value: grid.cut_core(value, tile, network.step(name)))
        boxes = {layer: grid.positions(tile, network.step(layer)) for layer in LAYERS}
        for layer, (top, bottom, left, right) in boxes.items():
            torch.testing.assert_close(cores[layer], whole[layer][..., top:bottom, left:right])
        own = weights.map_values(lambda name, value: value[..., slice(*boxes[name][:2]), slice(*boxes[name][2:])])
        assert len(exchange.anchors) == len(grid.margins) - 1
        objective = torch.stack([weigh(cores, own, LAYERS), *exchange.anchors]).sum()
        gradient = torch.zeros_like(image)
        tile.cut(gradient).add_(torch.autograd.grad(objective, crop)[0])
        torch.testing.assert_close(Ranks(rank, count).add(gradient), expected)


@pytest.mark.parametrize(("shape", "size", "count"), SHAPES)
def test_exchanged_margins_are_those_of_the_image(
    shape: tuple[int, int], size: int, count: int, tmp_path: Path
) -> None:
    arguments = (shape, size, count, 0, str(tmp_path / "store"))
    spawn(compare_features, arguments, nprocs=count)  # type: ignore[no-untyped-call]


def test_exchanged_margins_cover_what_losses_read_beyond_the_core(tmp_path: Path) -> None:
    spawn(compare_features, ((101, 75), 80, 2, 20, str(tmp_path / "store")), nprocs=2)  # type: ignore[no-untyped-call]


def send_gradients(rank: int, store: str) -> None:
    """Differentiates deep layers in the second process alone."""
    with join_processes(rank, 2, store):
        network, image = create_network(), draw(1, 3, 96, 64, seed=1).requires_grad_()
        whole = network(image, LAYERS)
        (expected,) = torch.autograd.grad(whole["conv5_1"][..., 3:, :].square().sum(), image)
        grid = create_grid(network, (96, 64), 64, 2)
        exchange = MarginExchange(grid, Ranks(rank, 2))
        crop = exchange.tile.cut(image).detach().requires_grad_()
        features = Features.join(list(network.stream(crop, LAYERS, exchange)))
        deep = grid.cut_core(features["conv5_1"], exchange.tile, 16).square().sum()
        objective = torch.stack([*exchange.anchors, *([deep] if rank == 1 else [])]).sum()
        gradient = torch.zeros_like(image)
        exchange.tile.cut(gradient).add_(torch.autograd.grad(objective, crop)[0])
        # What the first process contributes comes from the second one's objective.
        assert bool(gradient.any())
        torch.testing.assert_close(Ranks(rank, 2).add(gradient), expected)


def test_a_tile_without_an_objective_has_the_gradient_of_the_margins_of_others(tmp_path: Path) -> None:
    spawn(send_gradients, (str(tmp_path / "store"),), nprocs=2)  # type: ignore[no-untyped-call]
