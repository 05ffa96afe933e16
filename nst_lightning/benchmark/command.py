"""The `benchmark` command: what this machine could do, what a step takes of it, and what a plain loop takes."""

import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import Namespace

from nst_lightning.benchmark.ceiling import best_convolution
from nst_lightning.benchmark.table import ceiling_table, other_lines, step_table
from nst_lightning.benchmark.worker import measure
from nst_lightning.errors import InputError
from nst_lightning.image import write_bytes
from nst_lightning.parsing import Parser
from nst_lightning.precision import PRECISIONS, native_precision

Device = Literal["cpu", "cuda"]

DEEP_LAYERS = ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]
"""Of the style term where memory is compared: one in each block, to VGG-19's last."""


def _parser() -> Parser:
    parser = Parser(
        prog="python -m nst_lightning benchmark",
        description="Measure ceiling, step, memory, Lightning's cost and time to quality, beside a plain loop.",
    )
    parser.add_argument("--device", type=Device, default="cpu", help="cpu or cuda")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024], help="of square images in px")
    parser.add_argument("--json", type=str | None, help="a file to write the results to, for scripts")
    parser.add_argument("--steps", type=int, default=12, help="steps to time, of each kind")
    parser.add_argument("--evaluations", type=int, default=300, help="of the reference, whose objective is the goal")
    parser.add_argument("--quality_size", type=int, default=256, help="size in px for the time to quality")
    parser.add_argument(
        "--vgg", type=str | None, help="a file of VGG-19's weights for the time to quality; random ones unless given"
    )
    parser.add_argument("--quick", action="store_true", help="sizes and numbers so small that they mean nothing")
    return parser


def main(args: list[str]) -> int:
    """Runs the command and returns its exit status.

    Args:
        args: what stands on the command line after `benchmark`.
    """
    options = _checked(_parser().parse_args(args))
    found = run(options)
    print("\n" + "\n\n".join([ceiling_table(found["ceiling"]), step_table(found["steps"]), *other_lines(found)]))
    if options.json is not None:
        write_bytes(Path(options.json), json.dumps(found, indent=1).encode())
    return 0


def _checked(options: Namespace) -> Namespace:
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("Expected a GPU for --device cuda, but torch finds none.")
    if options.quick:
        options.sizes, options.steps, options.evaluations, options.quality_size = [32], 2, 6, 32
    for name in ("steps", "evaluations", "quality_size"):
        if options[name] < 1:
            raise InputError(f"Expected `{name}` to be positive, but got {options[name]}.")
    if not options.sizes or min(options.sizes) < 16:
        raise InputError(f"Expected `sizes` of 16 px or more, but got {options.sizes}.")
    return options


def run(options: Namespace) -> dict[str, Any]:
    """All measurements, each in a process of its own."""
    device, precision = options.device, native_precision("gpu" if options.device == "cuda" else "cpu")
    found: dict[str, Any] = {"machine": _machine(device)}
    found["ceiling"] = measure("ceiling", device=device, quick=options.quick)
    found["steps"] = [row for size in options.sizes for row in _steps(size, options, found["ceiling"])]
    size = 512 if 512 in options.sizes else options.sizes[-1]
    where = {"name": "SlimVGG19", "size": size, "device": device, "precision": precision}
    print(f"Lightning's cost at {size} px", flush=True)
    steps = max(options.steps, 2 if options.quick else 100)
    found["lightning"] = {"network": "SlimVGG19", "size": size} | measure("lightning", steps=steps, **where)
    print(f"time to quality at {options.quality_size} px", flush=True)
    where = {"size": options.quality_size, "device": device, "precision": precision}
    quality = measure("quality", evaluations=options.evaluations, weights=options.vgg, **where)
    found["quality"] = {"size": options.quality_size} | quality
    return found


def _steps(size: int, options: Namespace, ceiling: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reference's steps at a size, then ours."""
    rows = []
    for history in (100, 10):
        print(f"reference, history {history}, {size} px", flush=True)
        found = measure("reference", size=size, device=options.device, history=history, steps=options.steps)
        name = {"network": "reference", "size": size, "precision": "32-true", "optimizer": f"L-BFGS {history}"}
        rows.append(name | found)
    plain = rows[0]["seconds"]["median"]
    for network, settings in _kinds(options.quick):
        label = {"network": network, "size": size, **{key: settings[key] for key in ("precision", "optimizer")}}
        print(", ".join(str(label[key]) for key in ("network", "optimizer", "precision")) + f", {size} px", flush=True)
        found = measure("step", size=size, device=options.device, steps=options.steps, **settings)
        seconds = found["seconds"]["median"]
        share = found["operations"] / seconds / best_convolution(ceiling, settings["precision"])
        # A step over other layers is not the reference's.
        speed = {} if "layers" in settings else {"speed": plain / seconds}
        rows.append(label | found | {"share": share} | speed)
    return rows


def _kinds(quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of our steps, and what they are measured with."""
    for network in ("SlimVGG19",) if quick else ("VGG19", "SlimVGG19"):
        for optimizer in ("L-BFGS", "Adam"):
            for precision in PRECISIONS[1:] if quick else PRECISIONS:
                yield network, {"name": network, "precision": precision, "optimizer": optimizer}
    deep = {"name": "VGG19", "precision": PRECISIONS[1], "optimizer": "Adam", "layers": DEEP_LAYERS}
    yield "VGG19 to conv5_1", deep
    yield "VGG19 to conv5_1, checkpointing", deep | {"checkpointing": True}


def _machine(device: str) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {"device": device, "name": name, "threads": torch.get_num_threads(), "torch": torch.__version__}
