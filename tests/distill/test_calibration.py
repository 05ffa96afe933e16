import torch

from nst_lightning.distill.calibration import condense_readout, fit_readout, measure_unexplained_share

GENERATOR = torch.Generator().manual_seed(1)


def test_condensed_readouts_keep_distances() -> None:
    student = torch.randn(500, 5, generator=GENERATOR)
    teacher = student @ torch.randn(5, 40, generator=GENERATOR)
    prediction = fit_readout(student, teacher)
    short = condense_readout(prediction, student, 5)
    torch.testing.assert_close(torch.pdist(short(student)), torch.pdist(teacher), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(short.weight, short.weight.T, rtol=1e-3, atol=1e-3)
    assert measure_unexplained_share(prediction, student, teacher) < 1e-6
