"""The loop of the reference and ours."""

from nst_lightning.backbones import VGG19
from nst_lightning.benchmark.bare_loop import GRAM_LAYERS, BareLoop, load_images
from nst_lightning.benchmark.reference import ReferenceLoop


def create_loops(size: int = 32) -> tuple[ReferenceLoop, BareLoop]:
    """Returns both loops with random weights, on the CPU in float32."""
    backbone = VGG19(weights="random")
    backbone.build(GRAM_LAYERS)
    return ReferenceLoop(backbone, *load_images(size, "cpu")), BareLoop("VGG19", size, "cpu", "32-true")
