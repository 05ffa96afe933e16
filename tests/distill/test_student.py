import pytest

from nst_lightning.distill.student import Student
from nst_lightning.errors import InputError


def test_student_requires_a_width_for_each_convolution() -> None:
    with pytest.raises(InputError, match="13 positive"):
        Student([16] * 12)
