from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn import functional

from nst_lightning.backbones import VGG19, SlimVGG19
from nst_lightning.backbones.base import Backbone
from nst_lightning.data.transfer import StagePictures
from nst_lightning.losses import (
    ContentLoss,
    DisocclusionGramLoss,
    GramLoss,
    Loss,
    MeanStdLoss,
    TemporalLoss,
    TotalVariationLoss,
    WassersteinLoss,
)
from nst_lightning.losses.base import total
from nst_lightning.losses.regional import RegionalLoss
from nst_lightning.training.evaluation.tiled import evaluate_tiled
from nst_lightning.training.objective import Objective, Terms
from nst_lightning.training.ranks import Ranks
from tests.training.process_group import join_processes

LAYERS = ["conv_1", "relu1_2", "conv_4", "relu3_1", "conv_9"]
NETWORKS: dict[str, Callable[[], Backbone]] = {
    "VGG19": lambda: VGG19(weights="random"),
    "VGG19 with averages": lambda: VGG19(weights="random", pooling="avg", padding="replicate"),
    "SlimVGG19": SlimVGG19,
    "SlimVGG19 with averages": lambda: SlimVGG19(pooling="avg", padding="replicate"),
}
SHAPES = [((96, 128), 32), ((101, 133), 40), ((75, 150), 64), ((61, 53), 40), ((61, 53), 80)]


def draw(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def create_losses(at: list[float] | None = None) -> dict[str, Loss]:
    return {
        "content": ContentLoss(["conv_3", "conv_9", "image"], 2.0),
        "direction": ContentLoss(["relu3_1"], normalized=True),
        "whitened": GramLoss([*LAYERS, "image"], 10, whitening=0.5, at=at),
        "plain": GramLoss(LAYERS, 10),
        "wasserstein": WassersteinLoss(LAYERS[:3]),
        "moments": MeanStdLoss(LAYERS, 3.0),
        "smooth": TotalVariationLoss(5.0),
    }


def create_pictures(shape: tuple[int, int], masked: bool = False, seed: int = 0) -> StagePictures:
    content, styles = draw(1, 3, *shape, seed=seed), [draw(1, 3, 97, 81, seed=7), draw(1, 3, 70, 90, seed=8)]
    if not masked:
        return StagePictures(content, styles, [0.4, 0.6])
    soft = functional.interpolate(draw(1, 1, 3, 4, seed=9), size=shape, mode="bilinear")
    mask = ((soft - 0.5) * 9 + 0.5).clamp(0, 1)
    return StagePictures(
        content,
        styles,
        [0.4, 0.6],
        shares=torch.cat([mask, 0.8 * (1 - mask)], 1),
        hold=1 + 3 * draw(1, 1, *shape, seed=10),
        style_regions=[(draw(1, 1, 97, 81, seed=11) > 0.3).double(), None],
    )


def evaluate(evaluation: Callable[[Tensor], Terms], shape: tuple[int, int]) -> tuple[Terms, Tensor]:
    image = draw(1, 3, *shape, seed=20).requires_grad_()
    terms = evaluation(image)
    objective = total({name: total(distances) for name, distances in terms.items()})
    return terms, torch.autograd.grad(objective, image)[0]


def compare(network: Backbone, losses: dict[str, Loss], pictures: StagePictures, size: int) -> None:
    assert pictures.content is not None
    shape = (pictures.content.shape[-2], pictures.content.shape[-1])
    objective = Objective(network, losses).double()
    objective.set_targets(pictures)
    expected, gradient = evaluate(objective, shape)
    objective.tile, objective.ranks = size, Ranks.of_process_group()
    objective.set_targets(pictures)
    terms, tiled_gradient = evaluate(lambda image: evaluate_tiled(objective, size, image), shape)
    assert terms.keys() == expected.keys()
    for name, distances in expected.items():
        assert list(terms[name]) == list(distances)
        for layer, distance in distances.items():
            torch.testing.assert_close(terms[name][layer], distance, rtol=1e-8, atol=1e-12)
    scale = gradient.abs().max()
    torch.testing.assert_close(tiled_gradient / scale, gradient / scale, rtol=1e-9, atol=1e-11)
    same = objective.ranks.copy_first(tiled_gradient.clone())
    assert torch.equal(same, tiled_gradient)


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_tiles_have_the_objective_and_the_gradient_of_the_image(name: str, shape: tuple[int, int], size: int) -> None:
    compare(NETWORKS[name](), create_losses(), create_pictures(shape), size)


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("masked", [False, True])
def test_gram_matrices_need_the_means_of_channels_only_for_readouts(name: str, masked: bool) -> None:
    losses: dict[str, Loss] = {"whitened": GramLoss(LAYERS, 10, whitening=0.5), "plain": GramLoss(LAYERS[:3], 10)}
    network = NETWORKS[name]()
    compare(network, losses, create_pictures((75, 150), masked), 64)
    for loss in losses.values():
        assert isinstance(loss, GramLoss)
        if not masked:
            assert all(loss.reads_means(layer) == name.startswith("Slim") for layer in loss.layers)


def test_smaller_copies_are_evaluated_in_tiles() -> None:
    compare(SlimVGG19(), create_losses(at=[1, 0.5]), create_pictures((101, 133)), 40)


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_parts_of_the_image_are_evaluated_in_tiles(shape: tuple[int, int], size: int) -> None:
    compare(SlimVGG19(), create_losses(), create_pictures(shape, masked=True), size)


def test_parts_that_are_too_small_for_a_layer_are_left_out_in_tiles() -> None:
    mask = torch.zeros(1, 1, 101, 133, dtype=torch.float64)
    mask[..., 30:42, 30:42] = 1
    content, style = draw(1, 3, 101, 133, seed=0), draw(1, 3, 97, 81, seed=7)
    losses: dict[str, Loss] = {"style": GramLoss(["conv_1", "conv_9"], 10), "content": ContentLoss(["conv_3"])}
    compare(SlimVGG19(), losses, StagePictures(content, [style], [1.0], shares=mask), 40)


@pytest.mark.parametrize("masked", [False, True])
def test_disoccluded_areas_are_evaluated_in_tiles(masked: bool) -> None:
    visible = torch.ones(1, 1, 101, 133, dtype=torch.float64)
    visible[..., 20:90, 50:] = 0.3
    visible[..., 95:, :5] = 0
    losses: dict[str, Loss] = {
        "disocclusion": DisocclusionGramLoss(["conv_1", "conv_9", "image"], 10, whitening=0.5),
        "consistency": TemporalLoss(3.0),
        "style": GramLoss(["conv_1", "conv_4"], 10),
    }
    pictures = create_pictures((101, 133), masked)
    for previous in ({1: (draw(1, 3, 101, 133, seed=30), visible)}, {}):
        compare(SlimVGG19(), losses, replace(pictures, previous=previous), 40)
        losses = {name: plain_loss(loss) for name, loss in losses.items()}


def plain_loss(loss: Loss) -> Loss:
    return loss.loss if isinstance(loss, RegionalLoss) else loss


@pytest.mark.parametrize("size", [32, 64])
def test_targets_follow_the_content(size: int) -> None:
    check_new_content(size)


def check_new_content(size: int) -> None:
    """Evaluates an image with the targets of another one, and then with its own."""
    objective = Objective(SlimVGG19(), {"content": ContentLoss(["conv_3"])}).double()
    objective.tile, objective.ranks = size, Ranks.of_process_group()
    values = []
    for seed in (0, 20):
        objective.set_targets(create_pictures((64, 64), seed=seed))
        terms, gradient = evaluate(lambda image: evaluate_tiled(objective, size, image), (64, 64))
        values.append((float(terms["content"]["conv_3"].detach()), float(gradient.abs().max())))
    # The image is the content of seed 20.
    assert values[0][0] > 1e-3
    assert values[1] == (0, 0)


def count_passes(objective: Objective, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Returns a list that grows with each pass of the network."""
    passes: list[object] = []
    stream = objective.image_backbone.stream

    def count_pass(*args: Any) -> Any:
        passes.append(args)
        return stream(*args)

    monkeypatch.setattr(objective.image_backbone, "stream", count_pass)
    return passes


# Passes of the first evaluation and of the second one: the content, and the image once for one tile, else twice. The
# targets of a tile of 32 px have 229,376 bytes: 16 channels of 32 x 32 positions and 48 of 16 x 16.
@pytest.mark.parametrize(
    ("size", "max_bytes", "first_passes", "second_passes"),
    [(64, None, 2, 1), (64, 0, 2, 1), (32, None, 12, 8), (32, 0, 12, 12), (32, 2 * 229_376, 12, 10)],
)
@pytest.mark.parametrize("masked", [False, True])
def test_tiles_keep_their_targets(
    masked: bool,
    size: int,
    max_bytes: int | None,
    first_passes: int,
    second_passes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = {"content": ContentLoss(["conv_3"]), "small": ContentLoss(["conv_2"], 2.0)}
    objective = Objective(SlimVGG19(), losses).double()
    objective.tile = size
    if max_bytes is not None:
        objective.tile_targets.max_bytes = max_bytes
    objective.set_targets(create_pictures((64, 64), masked))
    results, counts = [], []
    for _ in range(2):
        passes = count_passes(objective, monkeypatch)
        results.append(evaluate(partial(evaluate_tiled, objective, size), (64, 64)))
        counts.append(len(passes))
    assert counts == [first_passes, second_passes]
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])


def test_a_factor_on_the_objective_is_one_on_the_gradient() -> None:
    objective = Objective(SlimVGG19(), create_losses()).double()
    objective.tile = 32
    objective.set_targets(create_pictures((64, 64)))
    image = draw(1, 3, 64, 64, seed=20).requires_grad_()

    def differentiate(factor: float) -> Tensor:
        terms = evaluate_tiled(objective, 32, image)
        return torch.autograd.grad(factor * total({n: total(t) for n, t in terms.items()}), image)[0]

    torch.testing.assert_close(differentiate(3.0), 3 * differentiate(1.0))


def create_held_pictures(shape: tuple[int, int]) -> StagePictures:
    """Returns pictures whose content is held in the upper half alone."""
    hold = torch.zeros(1, 1, *shape, dtype=torch.float64)
    hold[:, :, : shape[0] // 2] = 1
    return replace(create_pictures(shape), hold=hold)


def test_a_tile_may_have_no_position_that_a_loss_reads() -> None:
    compare(SlimVGG19(), {"content": ContentLoss(["conv_9"])}, create_held_pictures((96, 64)), 32)


def check_exchange(count: int) -> None:
    """Checks that processes with one tile each compute only the margin before the first exchange."""
    network, heights = SlimVGG19(), []
    stream = network.stream

    def record(image: Tensor, *arguments: Any, **options: Any) -> Any:
        if image.requires_grad:
            heights.append(image.shape[-2])
        return stream(image, *arguments, **options)

    network.stream = record  # type: ignore[method-assign]
    losses: dict[str, Loss] = {"style": MeanStdLoss(["conv_1"]), "content": ContentLoss(["conv_9"])}
    # Lower tiles have no loss on deep layers; the margins that upper tiles take from them have gradients.
    compare(network, losses, create_held_pictures((96 * count, 64)), 96 * count)
    neighbors = 2 if 0 < Ranks.of_process_group().number < count - 1 else 1
    assert heights == [96 + 8 * neighbors]


def compare_in_rank(rank: int, count: int, store: str) -> None:
    """Compares objectives in one of several processes; more tiles than processes, as many, and fewer."""
    with join_processes(rank, count, store):
        compare(VGG19(weights="random"), create_losses(), create_pictures((101, 133)), 40)
        for size in (32, 200):
            compare(SlimVGG19(pooling="avg"), create_losses(), create_pictures((96, 128)), size)
        compare(SlimVGG19(), create_losses(at=[1, 0.5]), create_pictures((75, 150)), 64)
        for size in (40, 80):
            compare(SlimVGG19(), create_losses(), create_pictures((61, 53), masked=True), size)
        losses: dict[str, Loss] = {"style": GramLoss(["conv_9"], 10), "content": ContentLoss(["conv_9"])}
        compare(SlimVGG19(), losses, create_pictures((16, 10)), 64)
        check_new_content(64)
        check_exchange(count)


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_have_the_objective_and_the_gradient_of_the_image(count: int, tmp_path: Path) -> None:
    spawn(compare_in_rank, (count, str(tmp_path / "store")), nprocs=count)  # type: ignore[no-untyped-call]
