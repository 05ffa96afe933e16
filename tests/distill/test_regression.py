import torch

from nst_lightning.distill.regression import fit_ridge_regression

GENERATOR = torch.Generator().manual_seed(1)


def test_ridge_regression_finds_a_linear_map() -> None:
    inputs = torch.randn(300, 6, generator=GENERATOR) + 2
    weight, bias = torch.randn(4, 6, generator=GENERATOR), torch.randn(4, generator=GENERATOR)
    actual = fit_ridge_regression(inputs, inputs @ weight.T + bias, ridge=1e-9)
    torch.testing.assert_close(actual, (weight, bias), rtol=1e-4, atol=1e-4)
