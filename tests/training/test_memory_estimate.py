import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.optim import LBFGS, Adam, Optimizer

from nst_lightning.backbones import VGG19
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture
from nst_lightning.losses import GramLoss
from nst_lightning.optim import CompactLBFGS
from nst_lightning.system.precision import DTYPES, Precision
from nst_lightning.training.memory_estimate import CONSTANT_BYTES, check_memory, estimate_bytes, optimizer_bytes
from nst_lightning.training.module import StyleTransfer
from tests.helpers import ENVIRONMENT, TRANSFER, smooth_image


def create_adam(parameters: list[Tensor]) -> Optimizer:
    return Adam(parameters)


def create_module(
    layers: list[str], optimizer: Callable[[list[Tensor]], Optimizer] = create_adam, checkpointing: bool = False
) -> StyleTransfer:
    backbone = VGG19(weights="random", checkpointing=checkpointing)
    return StyleTransfer(backbone, {"style": GramLoss(layers)}, optimizer=optimizer)  # type: ignore[arg-type]


def create_data(size: int, height: int = 64) -> TransferData:
    picture = Picture(smooth_image(height, 64))
    return TransferData.from_pictures(picture, [picture], Plan(size=size))


def test_check_memory_names_the_options_that_save_memory() -> None:
    with pytest.raises(
        InputError, match=r"about 5\.0 GB and 3\.0 GB are free: lower data\.plan\.size.*checkpointing.*Adam"
    ):
        check_memory(5 * 10**9, 3 * 10**9)
    check_memory(5 * 10**9, 5 * 10**9)
    check_memory(5 * 10**9, None)


def test_estimate_counts_the_saved_values_of_the_layers() -> None:
    # Two outputs of convolutions of 64 channels are saved, and two more are temporary. An image has 12 bytes per pixel;
    # Adam keeps two and the run four others. The padded input of the network is small.
    pixels, values = 512**2, (2 + 2) * 64
    for precision, size in (("32-true", 4), ("bf16-mixed", 2)):
        needed = estimate_bytes(create_module(["conv_2"]), create_data(512), precision)  # type: ignore[arg-type]
        assert (needed - CONSTANT_BYTES) / pixels == pytest.approx(size * values + 6 * 12, rel=0.1)


def test_estimate_with_checkpointing_counts_the_largest_block() -> None:
    # The input of the network, outputs of the first two convolutions, and two temporary ones; what later blocks saved
    # is freed by then.
    values = 3 + (2 + 2) * 64
    needed, without = (
        estimate_bytes(create_module(["conv_13"], checkpointing=on), create_data(512, height=48), "bf16-mixed")
        for on in (True, False)
    )
    pixels = 512 * 384
    assert (needed - CONSTANT_BYTES) / pixels == pytest.approx(2 * values + 6 * 12, rel=0.1)
    assert needed - CONSTANT_BYTES < 0.7 * (without - CONSTANT_BYTES)


def test_estimate_grows_with_the_picture() -> None:
    small, large = (estimate_bytes(create_module(["conv_3"]), create_data(size), "bf16-mixed") for size in (512, 1024))
    assert large - CONSTANT_BYTES == pytest.approx(4 * (small - CONSTANT_BYTES), rel=0.05)


def test_estimate_is_proportional_to_the_batch_size() -> None:
    one, four = (
        estimate_bytes(create_module(["conv_3"]), create_data(512), "32-true", items=items) for items in (1, 4)
    )
    assert four - CONSTANT_BYTES == 4 * (one - CONSTANT_BYTES)
    # A batch of small pictures is estimated if it has as many pixels as a large picture.
    assert estimate_bytes(create_module(["conv_3"]), create_data(256), "32-true", items=4) == pytest.approx(
        one, rel=0.05
    )
    assert estimate_bytes(create_module(["conv_3"]), create_data(256), "32-true", items=3) == 0


@pytest.mark.parametrize(
    ("precision", "machine", "expected"),
    # conv_4 to conv_7: 36 float32 numbers per kernel, 128x128, 256x128, 256x256 and 256x256 kernels, forward and
    # backward.
    [("32-true", "x86_64", 2 * 4 * 36 * 128**2 * 11), ("bf16-mixed", "x86_64", 0), ("32-true", "arm64", 0)],
)
def test_estimate_counts_transformed_weights(
    precision: Precision, machine: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    module, dtype = create_module(["conv_7"]), DTYPES[precision]
    backbone = module.objective.backbone
    assert backbone.derived_bytes(dtype, torch.device("cpu")) == expected
    assert backbone.derived_bytes(dtype, torch.device("cuda")) == 0
    on = {
        kind: estimate_bytes(module, create_data(512), precision, device=torch.device(kind)) for kind in ("cpu", "cuda")
    }
    assert on["cpu"] - on["cuda"] == expected


def test_estimate_is_zero_for_small_pictures() -> None:
    assert estimate_bytes(create_module(["conv_2"]), create_data(256), "32-true") == 0
    assert estimate_bytes(create_module(["conv_10"]), create_data(512, height=1), "32-true") == 0


def test_optimizer_bytes_counts_the_state_of_each_optimizer() -> None:
    image = torch.zeros(1, 3, 10, 10, requires_grad=True)
    assert optimizer_bytes(Adam([image]), image, 300) == 6 * 1200
    assert optimizer_bytes(LBFGS([image], history_size=20), image, 300) == 44 * 1200
    assert optimizer_bytes(LBFGS([image], history_size=20), image, 5) == 14 * 1200
    assert optimizer_bytes(CompactLBFGS([image], history_size=20), image, 5) == 44 * 1200
    assert optimizer_bytes(CompactLBFGS([image], history_dtype="bfloat16"), image, 300) == 14 * 1200


MEASURED = """
import sys
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.training.memory_estimate import estimate_bytes
from nst_lightning.system.memory import reset_peak, resident_bytes, peak_bytes

def build(size):
    return TransferCLI([*sys.argv[1:], f"--data.plan.size={size}"]).build()

build(64).fit()
run = build(640)
needed = estimate_bytes(run.module, run.data, run.config.trainer.precision)
reset_peak()
before = resident_bytes()
run.fit()
print("measured:", needed, peak_bytes() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from Linux's /proc")
@pytest.mark.parametrize(("checkpointing", "most"), [("false", 2.0), ("true", 1.2)])
def test_estimate_is_close_to_the_measured_memory_of_a_run(checkpointing: str, most: float, tmp_path: Path) -> None:
    # With plenty of memory and no checkpointing, a run keeps freed memory for reuse.
    arguments = [
        f"--config={TRANSFER}",
        "--data.plan.steps=3",
        "--model.backbone=VGG19",
        "--model.backbone.weights=random",
        f"--model.backbone.checkpointing={checkpointing}",
        "--model.losses.style.layers=[conv_1,conv_2,conv_4,conv_5]",
        "--trainer.precision=32-true",
    ]
    command = [sys.executable, "-c", MEASURED, *arguments]
    process = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    (line,) = (line for line in process.stdout.splitlines() if line.startswith("measured:"))
    needed, taken = map(int, line.split()[1:])
    assert 0.5 * needed < taken < most * needed
