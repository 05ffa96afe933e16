"""Files with tensors: optical flow, weights and checkpoints."""

import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save
from torch import Tensor

from nst_lightning.backbones import VGG19, SlimVGG19
from nst_lightning.backbones.weights import read_preprocessing, read_tensors
from nst_lightning.cli.fit import main as fit
from nst_lightning.errors import InputError
from nst_lightning.video.flo_files import read_flow, read_flow_size, write_flow
from tests.fuzz.mutations import ODD_VALUES, mutate_bytes, mutate_tree
from tests.helpers import write_pair
from tests.robustness.refusals import FIT

# Options of the run whose checkpoint is changed.
RUN = [*FIT[1:], "--data.plan.steps=3", "--model.optimizer.init_args.history_size=2"]

# Tensors of other types, shapes and values than are expected anywhere.
ODD_TENSORS: tuple[Callable[[], Tensor], ...] = (
    lambda: torch.empty(0),
    lambda: torch.tensor(3),
    lambda: torch.full((1, 3, 24, 32), float("nan")),
    lambda: torch.zeros(1, 3, 24, 32, dtype=torch.float64),
    lambda: torch.zeros(1, 3, 24, 32, dtype=torch.int64),
    lambda: torch.zeros(1, 3, 24, 32, dtype=torch.complex64),
    lambda: torch.zeros(1, 3, 24, 32, dtype=torch.bool),
    lambda: torch.zeros(1, 3, 24, 32).to_sparse(),
    lambda: torch.zeros(1, 1, 1, 1).expand(1, 3, 2000, 2000),
    lambda: torch.zeros(1, 3, 24, 32, device="meta"),
    lambda: torch.quantize_per_tensor(torch.zeros(1, 3, 24, 32), 0.1, 0, torch.quint8),
    lambda: torch.zeros(1, 3, 24, 32, requires_grad=True),
    lambda: torch.zeros(1, 3, 24, 32).to(torch.float8_e5m2),
)


def make_flows() -> list[bytes]:
    """Returns small .flo files."""
    path, flows = Path("seed.flo"), []
    for height, width in ((1, 1), (2, 3), (7, 9)):
        write_flow(path, torch.linspace(-3, 3, 2 * height * width).reshape(1, 2, height, width))
        flows.append(path.read_bytes())
    return flows


def read_flow_file(content: bytes) -> None:
    """Reads optical flow."""
    path = Path("flow.flo")
    path.write_bytes(content)
    shape = read_flow_size(path)
    flow = read_flow(path)
    assert flow.shape == (1, 2, *shape)
    assert flow.dtype == torch.float32


def _slim_weights(width: int) -> dict[str, Tensor]:
    """Returns weights of a SlimVGG19 in which all layers have the same number of channels."""
    tensors = {}
    network = SlimVGG19()
    for number in range(1, sum(network.depths) + 1):
        name = network._name_in_file(number)
        tensors[f"{name}.weight"] = torch.ones(width, 3 if number == 1 else width, 3, 3)
        tensors[f"{name}.bias"] = torch.ones(width)
        for kind in ("conv", "relu"):
            tensors[f"{kind}_{number}.weight"] = torch.ones(4, width, 1, 1)
            tensors[f"{kind}_{number}.bias"] = torch.ones(4)
    return tensors


def make_weights() -> list[bytes]:
    """Returns small .safetensors files, of a whole network and of single tensors."""
    few = {"features.0.weight": torch.ones(64, 3, 3, 3), "features.0.bias": torch.ones(64)}
    types = (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool, torch.float8_e5m2)
    mixed = {f"features.{number}.bias": torch.ones(2).to(dtype) for number, dtype in enumerate(types)}
    return [
        save(few, {"preprocessing": "oxford"}),
        save(mixed, {"input": "BGR, 0..255 minus a mean"}),
        save(_slim_weights(2)),
    ]


def mutate_safetensors(random: Random, content: bytes) -> bytes:
    """Changes the header, which is JSON, or the bytes."""
    (length,) = struct.unpack("<Q", content[:8]) if len(content) >= 8 else (0,)
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError):
        return mutate_bytes(random, content)
    if random.random() < 0.3:
        return mutate_bytes(random, content)
    encoded = json.dumps(mutate_tree(random, header)).encode()
    return struct.pack("<Q", len(encoded)) + encoded + content[8 + length :]


def read_weights_file(content: bytes) -> None:
    """Reads weights as the networks do."""
    path = Path("weights.safetensors")
    path.write_bytes(content)
    read_preprocessing(path)
    read_tensors(path, lambda name: True)
    try:
        VGG19(weights=str(path)).build(["conv_1"])
    except InputError:
        SlimVGG19(weights=str(path)).build(["conv_1"])


def prepare_run() -> None:
    """Writes the pictures of a run and its checkpoint after two of three steps."""
    write_pair(Path())
    fit([*RUN, "--trainer.max_steps=2"])
    shutil.copy(next(Path().rglob("last.ckpt")), "valid.ckpt")


def make_checkpoints() -> list[bytes]:
    """Returns a checkpoint, and one of torch before 1.6, which is no zip archive."""
    checkpoint = torch.load("valid.ckpt", weights_only=True)
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer, _use_new_zipfile_serialization=False)
    return [Path("valid.ckpt").read_bytes(), buffer.getvalue()]


def mutate_checkpoint(random: Random, content: bytes) -> bytes:
    """Changes a value, a file of the archive, or the bytes."""
    kind, buffer = random.random(), io.BytesIO()
    if kind < 0.1:
        return mutate_bytes(random, content)
    try:
        if kind < 0.25:
            return _mutate_archive(random, content)
        tree = torch.load(io.BytesIO(content), weights_only=True)
        odd = random.choice(ODD_TENSORS)() if random.random() < 0.3 else random.choice(ODD_VALUES)
        torch.save(mutate_tree(random, tree, [odd]), buffer)
    except Exception:  # the content is damaged already
        return mutate_bytes(random, content)
    return buffer.getvalue()


def _mutate_archive(random: Random, content: bytes) -> bytes:
    """Changes the bytes of one file of a zip archive, with a valid checksum."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as target:
        names = source.namelist()
        pickles = [name for name in names if name.endswith(".pkl")]
        changed = random.choice(pickles or names)
        for name in names:
            data = source.read(name)
            target.writestr(name, mutate_bytes(random, data) if name == changed else data)
    return buffer.getvalue()


def read_checkpoint_file(content: bytes) -> None:
    """Resumes a run from a checkpoint, and reads the file as weights."""
    shutil.rmtree("logs", ignore_errors=True)
    for name in ("run.ckpt", "weights.pth"):
        Path(name).write_bytes(content)
    with suppress(InputError):
        read_tensors(Path("weights.pth"), lambda name: True)
    try:
        fit([*RUN, "--ckpt_path=run.ckpt"])
    except OSError as error:  # which the command line prints in one line as well
        raise InputError(str(error)) from error
