"""Helpers for tests: a small backbone, small pictures, commands in other processes."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.backbones import Backbone
from nst_lightning.errors import InputError
from nst_lightning.images.io import write_image
from nst_lightning.losses import FeatureLoss, Loss
from nst_lightning.losses.base import total
from nst_lightning.optim import CompactLBFGS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nst_lightning"
CONFIGS = ROOT / "configs"
TRANSFER = str(CONFIGS / "transfer.yaml")
TRANSFER_TERMS = ("content", "style", "smooth")
SHARED = ROOT.parent / "shared"
OXFORD = SHARED / "weights" / "vgg19_oxford_conv1_1-conv3_4.safetensors"

# Options of `fit` for a fast run: small pictures, few steps, and a backbone that needs no file.
QUICK = ["--data.plan.size=32", "--data.plan.steps=2", "--data.plan.ladder=none", "--data.plan.first_steps=null"]
QUICK_FILM = ["--data.plan.following_steps=2", "--data.last=2"]
QUICK_VGG19 = [*QUICK, "--model.backbone=VGG19", "--model.backbone.weights=random"]

# Environment of processes that import the package, and classes of the tests, from any folder.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}

ignore_lightning_warnings = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*is deprecated:FutureWarning",  # Lightning 2.6 calls torch in a deprecated way
    "ignore:The number of training batches",
)


class TinyBackbone(Backbone):
    """Three convolutions of 4, 6 and 8 channels with a pooling before the third."""

    def __init__(self, seed: int = 0, channels_last: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in ((3, 4), (4, 6), (6, 8)))
        self.channels_last = channels_last

    @property
    def layer_names(self) -> tuple[str, ...]:
        return ("conv_1", "conv_2", "conv_3")

    def build(self, layers: Iterable[str]) -> None:
        for layer in layers:
            if layer not in self.layer_names:
                raise InputError(f"Expected `layers` to be among {self.layer_names}, but got {layer!r}.")
        self.freeze()

    def smallest_size(self, layers: Iterable[str]) -> int:
        return 2 if "conv_3" in layers else 1

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        value = image.contiguous(memory_format=torch.channels_last) if self.channels_last else image
        actual: dict[str, Tensor] = {}
        for number, convolution in enumerate(self.convolutions, 1):
            value = functional.max_pool2d(value, 2) if number == 3 else value
            value = actual[f"conv_{number}"] = convolution(value)
            value = functional.relu(value)
        return {layer: actual[layer] for layer in layers}


def smooth_image(height: int, width: int, seed: int = 0) -> Tensor:
    """Returns a seeded image ``(1, 3, height, width)`` in [0, 1] with large shapes."""
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)


def random_image(height: int, width: int, seed: int = 0) -> Tensor:
    """Returns a seeded image ``(1, 3, height, width)`` of noise in [0, 1]."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def random_tensor(*shape: int, seed: int = 0) -> Tensor:
    """Returns seeded numbers in [0, 1], float64."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Returns normally distributed numbers whose seed depends on the shape."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def random_features(seed: int, size: int = 4) -> dict[str, Tensor]:
    """Returns seeded features of two layers with 3 and 5 channels, the second of half the size."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "conv_1": torch.randn(1, 3, size, size, generator=generator),
        "conv_2": torch.randn(1, 5, size // 2, size // 2, generator=generator),
    }


def write_pair(folder: Path) -> tuple[Path, Path]:
    """Writes a content of 40x30 px and a style of 30x36 px and returns their paths."""
    content, style = folder / "content.png", folder / "style.png"
    write_image(content, smooth_image(30, 40, seed=1))
    write_image(style, random_image(36, 30, seed=2))
    return content, style


def set_target(loss: Loss, *references: Mapping[str, Tensor] | tuple[Mapping[str, Tensor], float]) -> None:
    """Sets the target of a loss to the blend of references, each with a blend weight of 1 unless given."""
    assert isinstance(loss, FeatureLoss)
    pairs = [reference if isinstance(reference, tuple) else (reference, 1.0) for reference in references]
    statistics = [loss.target_statistics(features) for features, _ in pairs]
    weights = [weight for _, weight in pairs]
    target = {layer: loss.blend_statistics([s[layer] for s in statistics], weights) for layer in statistics[0]}
    loss.set_target(target)


def compute_term(loss: Loss, features: Mapping[str, Tensor]) -> Tensor:
    """Returns the sum of the distances of a loss."""
    return total(loss(features))


def read_events(folder: Path, **size_guidance: int) -> EventAccumulator:
    """Reads all pictures and tensors, and some or all scalars, of the TensorBoard events of a run folder."""
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0} | size_guidance)
    accumulator.Reload()
    return accumulator


def start_command(*args: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts ``python -m nst_lightning`` in the current folder, with these additional environment variables."""
    command = [sys.executable, "-m", "nst_lightning", *args]
    variables = ENVIRONMENT | dict(environment or {})
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables)


def finish_command(process: subprocess.Popen[str], status: int = 0) -> tuple[str, str]:
    """Waits for the end of a process with this exit status and returns its output and its errors."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == status, errors
    return output, errors


def run_command(*args: str) -> tuple[str, str]:
    """Runs ``python -m nst_lightning`` in the current folder and returns its output and its errors."""
    return finish_command(start_command(*args))


# Files with which a process that has reached the step of a PausingLBFGS and its test wait for each other.
PAUSED_FILE = "paused_{}.txt"
RELEASE_FILE = "released.txt"
_steps_of_this_process = count(1)


class PausingLBFGS(CompactLBFGS):
    """L-BFGS that waits in one of its steps until :func:`release` is called in its working folder.

    A test that kills or interrupts a process thereby knows where the process is, however slow the machine is.

    Args:
        params: see :class:`CompactLBFGS`.
        pause_at: number of the step, counted from 1 over all optimizers of the process.
    """

    def __init__(self, params: Any, pause_at: int = 1) -> None:
        super().__init__(params)
        self.pause_at = pause_at

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        if next(_steps_of_this_process) == self.pause_at and not Path(RELEASE_FILE).exists():
            Path(PAUSED_FILE.format(os.getpid())).touch()
            while not Path(RELEASE_FILE).exists():
                time.sleep(0.02)
        return super().step(closure)


PAUSING_LBFGS = f"{__name__}.{PausingLBFGS.__name__}"


def wait_for_pause(process: subprocess.Popen[str], processes: int = 1) -> list[int]:
    """Waits until optimizers pause in a number of processes, and returns the process ids.

    Args:
        process: the command that the test has started; its end is an error.
        processes: number of processes, which are the command itself or started by it.
    """
    deadline = time.monotonic() + 300
    pattern = PAUSED_FILE.format("*")
    while len(paused := list(Path().glob(pattern))) < processes:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the command has not reached the step at which it pauses"
        time.sleep(0.02)
    return [int(path.stem.removeprefix("paused_")) for path in paused]


def release() -> None:
    """Lets all paused optimizers continue and keeps others from pausing."""
    Path(RELEASE_FILE).touch()


def find_blocks(text: str, language: str) -> list[str]:
    """Returns the code blocks of a language in a README."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def find_commands(text: str) -> list[list[str]]:
    """Returns the words of every command in a README, without comments."""
    lines = [line for block in find_blocks(text, "bash") for line in block.replace("\\\n", " ").splitlines()]
    parts = [part for line in lines for part in line.split("&&")]
    return [words for part in parts if (words := shlex.split(part, comments=True))]


def fake_threads(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Makes torch report a number of threads, and any that is set later, while it computes in one.

    Several threads of several test processes would wait for each other. What depends on the number, such as how work is
    divided, follows the reported one.
    """
    current = [number]

    def set_number(value: int) -> None:
        current[0] = value

    monkeypatch.setattr(torch, "get_num_threads", lambda: current[0])
    monkeypatch.setattr(torch, "set_num_threads", set_number)
