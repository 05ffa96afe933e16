"""Time to quality: how long it takes until an objective, judged in float32, is reached."""

import time
from typing import Any

import torch
from torch import Tensor

from nst_lightning.backbones import VGG19
from nst_lightning.benchmark.bare_loop import GRAM_LAYERS, BareLoop, load_images
from nst_lightning.benchmark.clock import synchronize, time_call
from nst_lightning.benchmark.reference import ReferenceLoop
from nst_lightning.losses import GramLoss
from nst_lightning.system.memory import keep_freed_memory

# Steps of SlimVGG19 before VGG-19 continues from its image.
DRAFT_STEPS = 100

# Weight of the style term with whitening: the content then counts as little as in the reference's objective.
WHITENED_WEIGHT = 1e4

# Seconds since the start of the optimization, and the objective at that time.
ObjectiveCurve = list[tuple[float, float]]


def measure_quality(size: int, device: str, precision: str, evaluations: int, weights: str | None) -> dict[str, Any]:
    """Measures the time to the objective that the reference reaches, and to twice its value.

    Three runs are compared with the reference: VGG-19 with the same objective (``ours``), VGG-19 with whitened Gram
    matrices (``evenly``), and the latter after a draft with SlimVGG19 (``drafted``). All start from the content, are
    judged by the reference's objective, and get half as many evaluations more than the reference.

    Args:
        size: edge of the square image in px.
        device: ``cpu`` or ``cuda``.
        precision: precision of the three runs; the reference computes in float32.
        evaluations: evaluations of the reference.
        weights: file of VGG-19's weights; random ones by default.

    Returns:
        The objective at the ``start`` and at the end (``goal``), ``evaluations``, and for each run the seconds
        ``to_goal`` and ``to_double``, None where the objective was not reached.
    """
    backbone, layers = _build_reference_backbone(weights)
    reference = ReferenceLoop(backbone.to(device), *load_images(size, device))
    reference_curve = record_reference(reference, evaluations, device)
    keep_freed_memory()

    def create_loop(network: str, whitening: float | None) -> BareLoop:
        style_loss = GramLoss(layers, weight=1e6 if whitening is None else WHITENED_WEIGHT, whitening=whitening)
        return BareLoop(network, size, device, precision, weights=weights, layers=layers, style_loss=style_loss)

    curves = {"reference": reference_curve}
    curves["ours"] = record_curve(create_loop("VGG19", None), reference, evaluations)
    curves["evenly"] = record_curve(create_loop("VGG19", 0.5), reference, evaluations)
    draft, draft_seconds = create_loop("SlimVGG19", 0.5), 0.0
    for _ in range(min(DRAFT_STEPS, evaluations // 3)):
        draft_seconds += time_call(draft.step, device)
    after_draft = create_loop("VGG19", 0.5)
    with torch.no_grad():
        after_draft.module.image.copy_(draft.module.image.clamp(0, 1))
    curves["drafted"] = record_curve(after_draft, reference, evaluations, draft_seconds)
    goal = reference_curve[-1][1]
    results: dict[str, Any] = {"goal": goal, "start": reference_curve[0][1], "evaluations": evaluations}
    for key, objective in (("to_goal", goal), ("to_double", 2 * goal)):
        results[key] = {name: find_first_time(curve, objective) for name, curve in curves.items()}
    return results


def _build_reference_backbone(weights: str | None) -> tuple[VGG19, list[str]]:
    """Builds VGG-19 as deep as a file of weights reaches: some end at conv_8."""
    for layers in (GRAM_LAYERS, GRAM_LAYERS[:8]):
        backbone = VGG19(weights=weights or "random")
        try:
            backbone.build(layers)
            break
        except ValueError:
            if len(layers) < len(GRAM_LAYERS):
                raise
    return backbone, layers


def record_reference(loop: ReferenceLoop, evaluations: int, device: str) -> ObjectiveCurve:
    """Records how the objective of the reference falls. It evaluates in float32 anyway.

    Args:
        loop: the reference, before its first step.
        evaluations: number of steps.
        device: ``cpu`` or ``cuda``.
    """
    synchronize(device)
    start = time.perf_counter()
    curve = []
    for _ in range(evaluations):
        # A step returns the objective of the image before it.
        elapsed = time.perf_counter() - start
        curve.append((elapsed, loop.step()))
    return curve


def record_curve(
    loop: BareLoop, judge: ReferenceLoop, evaluations: int, elapsed: float = 0.0, every: int = 5
) -> ObjectiveCurve:
    """Records how the reference's objective falls during a bare loop. The time of the judging does not count.

    Args:
        loop: the bare loop, before its first step.
        judge: evaluates the objective of the images in float32.
        evaluations: evaluations of the reference; the loop makes half as many steps more.
        elapsed: seconds already spent before the first step.
        every: number of steps between judged images.
    """
    images: list[tuple[float, Tensor]] = []
    for step in range(evaluations * 3 // 2):
        if step % every == 0:
            images.append((elapsed, loop.module.image.detach().clone()))
        elapsed += time_call(loop.step, loop.device)
    with torch.no_grad():
        return [(seconds, float(judge.objective(image))) for seconds, image in images]


def find_first_time(curve: ObjectiveCurve, objective: float) -> float | None:
    """Returns the first time at which the objective is not above a value, or None."""
    return next((seconds for seconds, value in curve if value <= objective), None)
