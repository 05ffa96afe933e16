"""From a trained student to the file that SlimVGG19 reads."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.distill.calibration import ReadOut, best_prediction, condensed
from nst_lightning.distill.measure import features_of, ratios, rows, teacher_breadth
from nst_lightning.distill.student import Student
from nst_lightning.distill.teachers import LAYERS, Teachers


@torch.no_grad()
def export(
    student: Student, teachers: Teachers, batches: Iterable[Tensor], path: Path, metadata: dict[str, str]
) -> None:
    """Calibrates a student and writes it in half precision.

    Args:
        student: trained, up to conv5_1.
        teachers: what it was trained on.
        batches: pictures ``(batch, 3, height, width)`` at which to calibrate, at least two.
        path: the ``.safetensors`` file.
        metadata: what the file says about itself.
    """
    batches = list(batches)
    tensors: dict[str, Tensor] = {}
    for name, parameter in student.named_weights():
        # Calibrated as it will be read.
        parameter.copy_(parameter.half())
        tensors[name] = parameter
    thin, known = features_of(student, batches), features_of(teachers, batches)
    for layer in LAYERS:
        for kind in ("conv", "relu"):
            rectify = functional.relu if kind == "relu" else nn.Identity()
            read_out = calibrated(rectify(thin[layer]), rectify(known[layer]), teacher_breadth(layer, known[layer]))
            name = layer.replace("conv", kind)
            tensors |= {f"{name}.weight": read_out.weight[:, :, None, None], f"{name}.bias": read_out.bias}
    save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, path, metadata)


def calibrated(thin: Tensor, teacher: Tensor, teacher_breadth: float) -> ReadOut:
    """The read-out of a layer by which content and Gram distances come out as the teacher's.

    Args:
        thin: ``(batch, channels, height, width)`` of the student.
        teacher: the teacher's features of the same pictures.
        teacher_breadth: channels of VGG-19 for each of the teacher's.
    """
    inputs, channels = rows(thin), thin.shape[1]
    read_out = condensed(best_prediction(inputs, rows(teacher)), inputs, channels)
    read_out = read_out.scaled((len(read_out.weight) / teacher.shape[1]) ** 0.5)
    features = functional.conv2d(thin, read_out.weight[:, :, None, None], read_out.bias)
    channel_ratio = teacher_breadth * teacher.shape[1] / len(read_out.weight)
    content, gram = ratios(features, teacher, channel_ratio, teacher_breadth)
    # A factor f changes the one by its square, the other by its fourth power: this one leaves both equally far off.
    return read_out.scaled((content * gram) ** (-1 / 6))
