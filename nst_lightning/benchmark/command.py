"""The `benchmark` command: what this machine could do, what a step takes of it, and what a plain loop takes."""

import json
import platform
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import Namespace

from nst_lightning.benchmark.table import ceiling_table, other_lines, step_table
from nst_lightning.benchmark.turns import measure_steps
from nst_lightning.benchmark.worker import measure
from nst_lightning.cli.parser import Parser
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.system.precision import PRECISIONS, native_precisions

Device = Literal["cpu", "cuda"]


def _parser() -> Parser:
    parser = Parser(
        prog="python -m nst_lightning benchmark",
        description="Measure ceiling, step, memory, Lightning's cost and time to quality, beside a plain loop.",
    )
    parser.add_argument("--device", type=Device, default="cpu", help="cpu or cuda")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024], help="of square images in px")
    parser.add_argument("--json", type=str | None, help="a file to write the results to, for scripts")
    parser.add_argument("--steps", type=int, default=12, help="steps to time, of each kind at least")
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
    device, precisions = options.device, native_precisions("gpu" if options.device == "cuda" else "cpu")
    found: dict[str, Any] = {"machine": _machine(device), "precisions": precisions}
    if len(precisions) < len(PRECISIONS):
        print("This processor does not compute in bfloat16 itself; float32 alone is measured.", flush=True)
    print("ceiling", flush=True)
    found["ceiling"] = measure("ceiling", device=device, quick=options.quick, precisions=precisions)
    found["steps"] = [
        row
        for size in options.sizes
        for row in measure_steps(size, device, options.steps, found["ceiling"], precisions, options.quick)
    ]
    size = 512 if 512 in options.sizes else options.sizes[-1]
    where = {"name": "SlimVGG19", "size": size, "device": device, "precision": precisions[-1]}
    print(f"Lightning's cost at {size} px", flush=True)
    steps = max(options.steps, 2 if options.quick else 100)
    found["lightning"] = {"network": "SlimVGG19", "size": size} | measure("lightning", steps=steps, **where)
    print(f"time to quality at {options.quality_size} px", flush=True)
    where = {"size": options.quality_size, "device": device, "precision": precisions[-1]}
    quality = measure("quality", evaluations=options.evaluations, weights=options.vgg, **where)
    found["quality"] = {"size": options.quality_size} | quality
    return found


def _machine(device: str) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {"device": device, "name": name, "threads": torch.get_num_threads(), "torch": torch.__version__}
