import pytest
import torch
from torch.nn import functional

from nst_lightning.backbones.features import Features, PositionMask, Readout, as_features
from nst_lightning.backbones.ops.gram_error import ChannelMap
from nst_lightning.functional.gram import gram_matrix, moments


def value(dtype: torch.dtype = torch.float64, size: int = 5) -> torch.Tensor:
    made = torch.randn(2, 6, size, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.7
    return made.to(dtype)


def read_out(dtype: torch.dtype = torch.float64) -> Readout:
    generator = torch.Generator().manual_seed(2)
    weight, bias = (torch.randn(*shape, dtype=dtype, generator=generator) for shape in ((4, 6), (4,)))
    return Readout.from_parts(weight, bias)


def test_a_read_out_is_a_convolution_of_one_position() -> None:
    made = read_out()
    weight, bias = made.affine[:4, :6], made.affine[:4, 6]
    expected = functional.conv2d(value(), weight[:, :, None, None], bias)
    torch.testing.assert_close(made.features(value()), expected)


def test_moments_of_a_read_out_are_those_of_its_features() -> None:
    made = read_out()
    torch.testing.assert_close(made.moments(value()), moments(made.features(value())))
    torch.testing.assert_close(made.gram_matrix(value()), gram_matrix(made.features(value())))
    assert torch.autograd.gradcheck(made.gram_matrix, value().requires_grad_())


def test_the_gram_matrix_of_a_read_out_of_bfloat16_is_near_also_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = read_out(torch.float32).gram_matrix(value(torch.bfloat16, size=600))
    assert found.dtype == torch.float32
    made = Readout(read_out(torch.float32).affine.double())
    exact = made.gram_matrix(value(size=600))
    assert (found - exact).abs().max() < 2e-3 * exact.abs().max()


def test_read_outs_are_made_when_they_are_asked_for() -> None:
    made = read_out()
    features = Features({"a": value(), "b": value()}, {"b": made}).with_layer("image", value())
    assert list(features) == ["image", "a", "b"]
    assert len(features) == 3
    assert features["a"].shape[1] == 6
    assert torch.equal(features["b"], made.features(value()))
    torch.testing.assert_close(features.gram_matrix("b"), gram_matrix(features["b"]))
    torch.testing.assert_close(features.gram_matrix("a"), gram_matrix(features["a"]))
    assert as_features(features) is features
    assert as_features({"c": value()})["c"].shape[1] == 6


def test_of_an_area_each_position_counts_as_far_as_it_is_in_it() -> None:
    generator = torch.Generator().manual_seed(3)
    mask = (torch.rand(1, 1, 10, 14, dtype=torch.float64, generator=generator) * 2 - 1).clamp(min=0)
    one = value()[:1]
    share = functional.avg_pool2d(mask, 2)
    share = (share / share.mean()).float().double()
    area = PositionMask(mask)
    for made in (one, read_out().features(one)):
        weighted = torch.einsum("bchw,bdhw,bhw->bcd", made, made, share[:, 0]) / made.numel()
        features = Features({"a": one}, {} if made is one else {"a": read_out()})
        channel_map = None if made is one else read_out().gram_map()
        target = torch.eye(weighted.shape[-1], dtype=torch.float64)[None]
        found = features.gram_error("a", target, channel_map, area)
        torch.testing.assert_close(found, (weighted - target).square().mean(), rtol=1e-5, atol=1e-6)
        assert found.dtype == torch.float64


@pytest.mark.parametrize("read_outs", [{}, {"a": read_out()}])
@pytest.mark.parametrize("whole", [None, PositionMask(torch.ones(1, 1, 10, 14))])
def test_the_error_of_a_gram_matrix_that_is_multiplied_by_a_metric(
    read_outs: dict[str, Readout], whole: PositionMask | None
) -> None:
    features = Features({"a": value()[:1]}, read_outs)
    made = features.gram_matrix("a")
    generator = torch.Generator().manual_seed(5)
    metric, target = (torch.randn(made.shape, dtype=torch.float64, generator=generator) for _ in range(2))
    metric, target = metric + metric.mT, target + target.mT
    expected = (metric @ made @ metric - target).square().mean()
    plain_map = ChannelMap(metric / metric.shape[-1] ** 0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        channel_map = read_outs["a"].gram_map(metric) if read_outs else plain_map
        found = features.gram_error("a", target, channel_map, whole)
    torch.testing.assert_close(found, expected)
