"""Time to quality: when an objective, judged in float32, is reached."""

import time
from typing import Any

import torch
from torch import Tensor

from nst_lightning.backbones import VGG19
from nst_lightning.benchmark.clock import finish
from nst_lightning.benchmark.reference import PlainLoop
from nst_lightning.benchmark.steps import Loop, pictures
from nst_lightning.losses import GramLoss
from nst_lightning.system.memory import keep_freed_memory

DRAFT = 100
"""Steps of the thin network that a finish with VGG-19 goes on from."""

EVEN_WEIGHT = 1e4
"""Of the style where it is measured evenly: the content counts as little as in the reference's objective."""

Course = list[tuple[float, float]]
"""Seconds since the start and the objective then."""


def measure_quality(size: int, device: str, precision: str, evaluations: int, weights: str | None) -> dict[str, Any]:
    """Seconds to the objective of the plain loop's last evaluation, and to its double, there and here.

    Ours may take half as many evaluations again: VGG-19 with the objective of the reference; VGG-19 with the Gram
    distances measured evenly; and the same after a draft of SlimVGG19. All begin with the content and are judged by the
    reference's objective.

    Args:
        size: of the square image in px.
        device: ``cpu`` or ``cuda``.
        precision: of ours; the reference computes in float32.
        evaluations: of the reference.
        weights: a file of VGG-19's weights; random ones unless given.
    """
    loop = _plain(size, device, weights)
    reference = reference_course(loop, evaluations, device)
    keep_freed_memory()
    layers = _layers(weights)
    courses = {"reference": reference}

    def ours(network: str, whitening: float | None) -> Loop:
        term = GramLoss(layers, weight=1e6 if whitening is None else EVEN_WEIGHT, whitening=whitening)
        return Loop(network, size, device, precision, weights=weights, layers=layers, term=term)

    courses["ours"] = our_course(ours("VGG19", None), loop, evaluations)
    courses["evenly"] = our_course(ours("VGG19", 0.5), loop, evaluations)
    draft, spent = ours("SlimVGG19", 0.5), 0.0
    for _ in range(min(DRAFT, evaluations // 3)):
        spent += _seconds(draft)
    finish_of_draft = ours("VGG19", 0.5)
    with torch.no_grad():
        finish_of_draft.module.image.copy_(draft.module.image.clamp(0, 1))
    courses["drafted"] = our_course(finish_of_draft, loop, evaluations, spent)
    goal = reference[-1][1]
    found: dict[str, Any] = {"goal": goal, "start": reference[0][1], "evaluations": evaluations}
    for name, value in (("to_goal", goal), ("to_double", 2 * goal)):
        found[name] = {who: reached(course, value) for who, course in courses.items()}
    return found


def _layers(weights: str | None) -> list[str]:
    """As deep as a file reaches: some end at conv_8."""
    backbone = VGG19(weights=weights or "random")
    layers = [f"conv_{number}" for number in range(1, 11)]
    try:
        backbone.build(layers)
    except ValueError:
        return layers[:8]
    return layers


def _plain(size: int, device: str, weights: str | None) -> PlainLoop:
    backbone = VGG19(weights=weights or "random")
    backbone.build(_layers(weights))
    return PlainLoop(backbone.to(device), *pictures(size, device))


def reference_course(loop: PlainLoop, evaluations: int, device: str) -> Course:
    """How the plain loop's objective falls; its own evaluations are in float32 already."""
    finish(device)
    began = time.perf_counter()
    course = []
    for _ in range(evaluations):
        # The evaluation is of the image that all steps before have made.
        until = time.perf_counter() - began
        course.append((until, loop.step()))
    return course


def our_course(loop: Loop, judge: PlainLoop, evaluations: int, spent: float = 0.0, every: int = 5) -> Course:
    """How our objective falls in the eyes of a float32 network, with the clock stopped while it looks.

    Args:
        loop: ours.
        judge: of its images.
        evaluations: of the reference.
        spent: seconds before the first step.
        every: how many steps it looks.
    """
    images: list[tuple[float, Tensor]] = []
    for step in range(evaluations * 3 // 2):
        if step % every == 0:
            images.append((spent, loop.module.image.detach().clone()))
        spent += _seconds(loop)
    with torch.no_grad():
        return [(seconds, float(judge.objective(image))) for seconds, image in images]


def _seconds(loop: Loop) -> float:
    """Of a step."""
    finish(loop.device)
    began = time.perf_counter()
    loop.step()
    finish(loop.device)
    return time.perf_counter() - began


def reached(course: Course, value: float) -> float | None:
    """The first moment at which an objective is no larger than a value, or None."""
    return next((seconds for seconds, objective in course if objective <= value), None)
