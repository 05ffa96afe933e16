import pytest
import torch

from nst_lightning.distill.calibration import best_prediction, condensed, unexplained
from nst_lightning.distill.start import ridge_regression, spanning_channels, start
from nst_lightning.distill.student import Student
from nst_lightning.distill.teachers import LAYERS, Teachers
from nst_lightning.errors import InputError

GENERATOR = torch.Generator().manual_seed(1)


def test_spanning_channels_pivot_as_a_qr_decomposition() -> None:
    features = torch.randn(200, 12, generator=GENERATOR) @ torch.randn(12, 12, generator=GENERATOR)
    rest, expected = features.double() - features.double().mean(0), []
    for _ in range(5):
        expected.append(int(rest.norm(dim=0).argmax()))
        direction = rest[:, expected[-1]] / rest[:, expected[-1]].norm()
        rest = rest - torch.outer(direction, direction @ rest)
    assert spanning_channels(features, 5).tolist() == expected


def test_spanning_channels_leave_out_copies() -> None:
    features = torch.randn(100, 3, generator=GENERATOR)
    assert sorted(n % 3 for n in spanning_channels(features.repeat(1, 4), 3).tolist()) == [0, 1, 2]


def test_ridge_regression_finds_a_linear_map() -> None:
    inputs = torch.randn(300, 6, generator=GENERATOR) + 2
    weight, bias = torch.randn(4, 6, generator=GENERATOR), torch.randn(4, generator=GENERATOR)
    found = ridge_regression(inputs, inputs @ weight.T + bias, ridge=1e-9)
    torch.testing.assert_close(found, (weight, bias), rtol=1e-4, atol=1e-4)


def test_condensed_read_outs_keep_distances() -> None:
    student = torch.randn(500, 5, generator=GENERATOR)
    teacher = student @ torch.randn(5, 40, generator=GENERATOR)
    prediction = best_prediction(student, teacher)
    short = condensed(prediction, student, 5)
    torch.testing.assert_close(torch.pdist(short(student)), torch.pdist(teacher), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(short.weight, short.weight.T, rtol=1e-3, atol=1e-3)
    assert unexplained(prediction, student, teacher) < 1e-6


def test_a_student_as_wide_as_its_teacher_starts_as_its_teacher() -> None:
    student = Student([64, 64, *[8] * 11])
    student.build(["conv_2"])
    teacher = Student([64, 64, *[8] * 11], seed=1)
    teacher.build(["conv_2"])

    class Two(Teachers):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            features: dict[str, torch.Tensor] = teacher(image, LAYERS[:2])
            return features

    images = torch.rand(4, 3, 32, 32, generator=GENERATOR)
    start(student, Two(), images)
    found, expected = student(images, ["conv_2"])["conv_2"], teacher(images, ["conv_2"])["conv_2"]
    prediction = best_prediction(found.permute(0, 2, 3, 1).flatten(0, 2), expected.permute(0, 2, 3, 1).flatten(0, 2))
    rows = found.permute(0, 2, 3, 1).flatten(0, 2), expected.permute(0, 2, 3, 1).flatten(0, 2)
    assert unexplained(prediction, *rows) < 1e-3


def test_a_width_for_each_convolution() -> None:
    with pytest.raises(InputError, match="13 positive"):
        Student([16] * 12)
