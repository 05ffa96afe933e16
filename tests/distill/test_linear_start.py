import torch

from nst_lightning.distill.calibration import fit_readout, measure_unexplained_share
from nst_lightning.distill.linear_start import initialize_student, select_spanning_channels
from nst_lightning.distill.student import Student
from nst_lightning.distill.teachers import DISTILLED_LAYERS, Teachers

GENERATOR = torch.Generator().manual_seed(1)


def test_spanning_channels_pivot_as_a_qr_decomposition() -> None:
    features = torch.randn(200, 12, generator=GENERATOR) @ torch.randn(12, 12, generator=GENERATOR)
    rest, expected = features.double() - features.double().mean(0), []
    for _ in range(5):
        expected.append(int(rest.norm(dim=0).argmax()))
        direction = rest[:, expected[-1]] / rest[:, expected[-1]].norm()
        rest = rest - torch.outer(direction, direction @ rest)
    assert select_spanning_channels(features, 5).tolist() == expected


def test_spanning_channels_leave_out_copies() -> None:
    features = torch.randn(100, 3, generator=GENERATOR)
    assert sorted(n % 3 for n in select_spanning_channels(features.repeat(1, 4), 3).tolist()) == [0, 1, 2]


def test_student_as_wide_as_its_teacher_starts_equal_to_it() -> None:
    student = Student([64, 64, *[8] * 11])
    student.build(["conv_2"])
    teacher = Student([64, 64, *[8] * 11], seed=1)
    teacher.build(["conv_2"])

    class Two(Teachers):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            features: dict[str, torch.Tensor] = teacher(image, DISTILLED_LAYERS[:2])
            return features

    images = torch.rand(4, 3, 32, 32, generator=GENERATOR)
    initialize_student(student, Two(), images)
    actual, expected = student(images, ["conv_2"])["conv_2"], teacher(images, ["conv_2"])["conv_2"]
    prediction = fit_readout(actual.permute(0, 2, 3, 1).flatten(0, 2), expected.permute(0, 2, 3, 1).flatten(0, 2))
    rows = actual.permute(0, 2, 3, 1).flatten(0, 2), expected.permute(0, 2, 3, 1).flatten(0, 2)
    assert measure_unexplained_share(prediction, *rows) < 1e-3
