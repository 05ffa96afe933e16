"""Export of a trained student to the file that SlimVGG19 reads."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.distill.calibration import FittedReadout, condense_readout, fit_readout
from nst_lightning.distill.fidelity import READOUT_POSITIONS, collect_features, distance_ratios, teacher_channel_ratio
from nst_lightning.distill.regression import to_rows
from nst_lightning.distill.student import Student
from nst_lightning.distill.teachers import DISTILLED_LAYERS, Teachers
from nst_lightning.images.atomic import atomic_path


@torch.no_grad()
def export_student(
    student: Student, teachers: Teachers, batches: Iterable[Tensor], path: Path, metadata: dict[str, str]
) -> None:
    """Calibrates a student and writes it in half precision.

    The file has the convolutions by torchvision's names (``features.0.weight``) and a readout for each layer before
    and after its ReLU (``conv_1.weight``, ``relu_1.weight``).

    Args:
        student: a trained network, built up to conv5_1; its weights are rounded to half precision.
        teachers: the networks it was trained with.
        batches: pictures ``(batch, 3, height, width)`` for the calibration, at least two in total.
        path: the ``.safetensors`` file to write.
        metadata: header of the file.
    """
    batches = list(batches)
    tensors: dict[str, Tensor] = {}
    for name, parameter in student.named_weights():
        # Rounded before the calibration, so that readouts are fitted to the weights that are read later.
        parameter.copy_(parameter.half())
        tensors[name] = parameter
    thin, teacher = collect_features(student, batches), collect_features(teachers, batches)
    for layer in DISTILLED_LAYERS:
        ratio = teacher_channel_ratio(layer, teacher[layer])
        for kind in ("conv", "relu"):
            rectify = functional.relu if kind == "relu" else nn.Identity()
            readout = calibrate_layer(rectify(thin[layer]), rectify(teacher[layer]), ratio)
            name = layer.replace("conv", kind)
            tensors |= {f"{name}.weight": readout.weight[:, :, None, None], f"{name}.bias": readout.bias}
    with atomic_path(path) as temporary:
        save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def calibrate_layer(thin: Tensor, teacher: Tensor, teacher_ratio: float) -> FittedReadout:
    """Fits the readout of a layer so that content and Gram distances equal the teacher's.

    Args:
        thin: the student's features, ``(batch, channels, height, width)``.
        teacher: the teacher's features of the same pictures.
        teacher_ratio: channels of VGG-19 per channel of the teacher.

    Returns:
        A readout with at most as many outputs as the student has channels.
    """
    rows, channels = to_rows(thin, READOUT_POSITIONS), thin.shape[1]
    readout = condense_readout(fit_readout(rows, to_rows(teacher, READOUT_POSITIONS)), rows, channels)
    readout = readout.scale((len(readout.weight) / teacher.shape[1]) ** 0.5)
    features = functional.conv2d(thin, readout.weight[:, :, None, None], readout.bias)
    channel_ratio = teacher_ratio * teacher.shape[1] / len(readout.weight)
    content, gram = distance_ratios(features, teacher, channel_ratio, teacher_ratio)
    # A factor f scales content distances by f^2 and Gram distances by f^4; this f leaves both off by the same factor.
    return readout.scale((content * gram) ** (-1 / 6))
