from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from nst_lightning.backbones import SlimVGG19
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture
from nst_lightning.losses import ContentLoss, GramLoss, TotalVariationLoss, WassersteinLoss
from nst_lightning.training.evaluation.cuda_graphs import check_graph_device, record_graph
from nst_lightning.training.module import StyleTransfer
from tests.helpers import ignore_lightning_warnings, smooth_image

CONTENT, STYLE = smooth_image(40, 48, seed=1), torch.rand(1, 3, 36, 44, generator=torch.Generator().manual_seed(2))

Values = Callable[[Tensor], tuple[Tensor, ...]]


def emulate_graphed_callables(values: Values, samples: tuple[Tensor], allow_unused_input: bool) -> Values:
    """Does on a CPU what ``torch.cuda.make_graphed_callables`` does on a GPU.

    The operations alone are recorded, from one place of the input, and replayed; Python between them is not seen again.
    """
    assert allow_unused_input
    (sample,) = samples
    for _ in range(3):
        values(sample)

    def both(image: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        actual = values(image)
        return *actual, torch.autograd.grad(torch.stack(actual), image, weights)[0]

    place, ones = sample.detach().clone(), torch.ones(len(values(sample)))
    graph = make_fx(both)(place.clone().requires_grad_(), ones)

    def replay(weights: Tensor) -> tuple[Tensor, ...]:
        # A GPU replays kernels, to which autocast does not apply.
        with torch.autocast("cpu", enabled=False):
            return tuple(graph(place, weights))

    class Replayed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, image: Tensor) -> tuple[Tensor, ...]:
            place.copy_(image)
            return replay(ones)[:-1]

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            return replay(torch.stack(gradients))[-1]

    return Replayed.apply  # type: ignore[no-any-return]


def fit_module(cuda_graphs: bool, precision: Any, **options: Any) -> StyleTransfer:
    data = TransferData.from_pictures(Picture(CONTENT), [Picture(STYLE)], Plan(48, 4, ladder="octaves", smallest=24))
    losses = {
        "content": ContentLoss(["conv_3"]),
        "style": GramLoss(["conv_1", "conv_2", "conv_4"], 1e3, whitening=0.5),
        "more": WassersteinLoss(["relu_3"]),
        "smooth": TotalVariationLoss(0.1),
    }
    module = StyleTransfer(SlimVGG19(**options), losses, cuda_graphs=cuda_graphs)
    trainer = pl.Trainer(
        max_epochs=2,
        reload_dataloaders_every_n_epochs=1,
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    return module


@ignore_lightning_warnings
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_replayed_run_equals_the_plain_run_bitwise(
    precision: str, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = []

    def record_calls(*arguments: Any, **options: Any) -> Values:
        recordings.append(arguments)
        return emulate_graphed_callables(*arguments, **options)

    monkeypatch.setattr("torch.cuda.make_graphed_callables", record_calls)
    replayed = fit_module(True, precision, checkpointing=checkpointing)
    assert len(recordings) == 2  # one for each size
    assert torch.equal(replayed.image, fit_module(False, precision, checkpointing=checkpointing).image)


def test_replayed_terms_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.make_graphed_callables", emulate_graphed_callables)
    image = torch.rand(1, 3, 4, 4, requires_grad=True)
    replay = record_graph(lambda image: {"a": {"square": image.square().sum()}, "b": {"mean": image.mean()}}, image)
    other = torch.rand(1, 3, 4, 4, requires_grad=True)
    actual = replay(other)
    assert {name: list(layers) for name, layers in actual.items()} == {"a": ["square"], "b": ["mean"]}
    torch.testing.assert_close(actual["a"]["square"], other.square().sum())
    (2 * actual["a"]["square"] + actual["b"]["mean"]).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(other.grad, 4 * other.detach() + 1 / 48)


def test_graph_device_must_be_cuda() -> None:
    check_graph_device(torch.device("cuda", 0))
    with pytest.raises(InputError, match="but the run is on mps: leave"):
        check_graph_device(torch.device("mps"))
