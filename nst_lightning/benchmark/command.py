"""The `benchmark` command: peak throughput, steps, memory, the overhead of Lightning, and time to quality."""

import json
import platform
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import Namespace

from nst_lightning.benchmark.busy import BUSY_SIZE, BUSY_STEPS, measure_busy
from nst_lightning.benchmark.interleaved import measure_steps
from nst_lightning.benchmark.table import format_busy, format_ceiling, format_comparisons, format_steps
from nst_lightning.benchmark.worker import measure
from nst_lightning.cli.parser import Parser
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import check_output_path, write_bytes
from nst_lightning.system.precision import PRECISIONS, native_precisions

Device = Literal["cpu", "cuda"]


def main(args: list[str]) -> int:
    """Runs the command.

    Args:
        args: the command line after `benchmark`.

    Returns:
        The exit status.

    Raises:
        InputError: an option cannot be used, or a measurement failed.
    """
    options = _create_parser().parse_args(args)
    if options.quick:
        options.sizes, options.steps, options.evaluations, options.quality_size = [32], 2, 6, 32
    _check(options)
    if options.busy:
        size, steps, rounds = (32, 2, 1) if options.quick else (BUSY_SIZE, BUSY_STEPS, options.rounds)
        results = {"busy": measure_busy(size, steps, rounds)}
        tables = [format_busy(results["busy"])]
    else:
        results = measure_all(options)
        tables = [format_ceiling(results["ceiling"]), format_steps(results["steps"]), *format_comparisons(results)]
    print("\n" + "\n\n".join(tables))
    if options.json is not None:
        write_bytes(Path(options.json), json.dumps(results, indent=1).encode())
    return 0


def _create_parser() -> Parser:
    parser = Parser(
        prog="python -m nst_lightning benchmark",
        description="Measure peak throughput, step time, memory, the overhead of Lightning and the time to quality, "
        "compared with a plain PyTorch loop (the reference).",
    )
    parser.add_argument("--device", type=Device, default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[256, 512, 1024], help="sizes of the square images in px, at least 16"
    )
    parser.add_argument("--json", type=str | None, help="a file to write all results to, for scripts")
    parser.add_argument("--steps", type=int, default=12, help="smallest number of timed steps of each kind")
    parser.add_argument(
        "--evaluations", type=int, default=300, help="evaluations of the reference; its objective then is the goal"
    )
    parser.add_argument("--quality_size", type=int, default=256, help="image size in px for the time to quality")
    parser.add_argument(
        "--vgg", type=str | None, help="a file of VGG-19's weights for the time to quality; random ones by default"
    )
    parser.add_argument(
        "--busy",
        action="store_true",
        help="measure only `fit` with 1 thread, all cores and `--threads auto`, alone and next to other processes",
    )
    parser.add_argument("--rounds", type=int, default=3, help="with --busy, number of measurements of each kind")
    parser.add_argument("--quick", action="store_true", help="test the command; sizes too small for meaningful results")
    return parser


def _check(options: Namespace) -> None:
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("Expected a GPU for --device cuda, but torch finds none.")
    for name in ("steps", "evaluations", "quality_size", "rounds"):
        if options[name] < 1:
            raise InputError(f"Expected `{name}` to be positive, but got {options[name]}.")
    if not options.sizes or min(options.sizes) < 16:
        raise InputError(f"Expected `sizes` of 16 px or more, but got {options.sizes}.")
    if options.json is not None:
        check_output_path(Path(options.json))


def measure_all(options: Namespace) -> dict[str, Any]:
    """Runs all measurements, each in a process of its own.

    Args:
        options: options of the command.

    Returns:
        The results under the names that ``--json`` writes.
    """
    device, precisions = options.device, native_precisions("gpu" if options.device == "cuda" else "cpu")
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    machine = {"device": device, "name": name, "threads": torch.get_num_threads(), "torch": torch.__version__}
    results: dict[str, Any] = {"machine": machine, "precisions": precisions}
    if len(precisions) < len(PRECISIONS):
        print("This processor has no native bfloat16 arithmetic; float32 alone is measured.", flush=True)

    print("peak throughput", flush=True)
    results["ceiling"] = measure("ceiling", device=device, quick=options.quick, precisions=precisions)

    results["steps"] = [
        row
        for size in options.sizes
        for row in measure_steps(size, device, options.steps, results["ceiling"], precisions, options.quick)
    ]

    size = 512 if 512 in options.sizes else options.sizes[-1]
    print(f"overhead of Lightning at {size} px", flush=True)
    settings = {"network": "SlimVGG19", "size": size, "device": device, "precision": precisions[-1]}
    steps = max(options.steps, 2 if options.quick else 100)
    overhead = measure("lightning", steps=steps, **settings)
    results["lightning"] = {"network": "SlimVGG19", "size": size} | overhead

    print(f"time to quality at {options.quality_size} px", flush=True)
    settings = {"size": options.quality_size, "device": device, "precision": precisions[-1]}
    quality = measure("quality", evaluations=options.evaluations, weights=options.vgg, **settings)
    results["quality"] = {"size": options.quality_size} | quality
    return results
