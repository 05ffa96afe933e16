import pytest
import torch
from torch.nn import functional

from nst_lightning.backbones.features import Features, Readout, as_features
from nst_lightning.backbones.ops.gram_error import ChannelMap
from nst_lightning.backbones.position_mask import PositionMask
from nst_lightning.functional.gram import gram_matrix, moments
from nst_lightning.functional.sampling import draw_positions, sample_bilinear


def create_value(dtype: torch.dtype = torch.float64, size: int = 5) -> torch.Tensor:
    readout = torch.randn(2, 6, size, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.7
    return readout.to(dtype)


def create_readout(dtype: torch.dtype = torch.float64) -> Readout:
    generator = torch.Generator().manual_seed(2)
    weight, bias = (torch.randn(*shape, dtype=dtype, generator=generator) for shape in ((4, 6), (4,)))
    return Readout.from_parts(weight, bias)


def test_readout_equals_a_1x1_convolution() -> None:
    readout = create_readout()
    weight, bias = readout.affine[:4, :6], readout.affine[:4, 6]
    expected = functional.conv2d(create_value(), weight[:, :, None, None], bias)
    torch.testing.assert_close(readout.features(create_value()), expected)


def test_readout_moments_equal_moments_of_its_features() -> None:
    readout = create_readout()
    torch.testing.assert_close(readout.moments(create_value()), moments(readout.features(create_value())))
    torch.testing.assert_close(readout.gram_matrix(create_value()), gram_matrix(readout.features(create_value())))
    assert torch.autograd.gradcheck(readout.gram_matrix, create_value().requires_grad_())


def test_samples_of_a_readout_equal_samples_of_its_features() -> None:
    readout, positions = create_readout(), draw_positions(9, 0)
    features = Features({"plain": create_value(), "mapped": create_value()}, {"mapped": readout})
    plain, mapped = sample_bilinear(create_value(), positions), sample_bilinear(features["mapped"], positions)
    assert torch.equal(features.sample("plain", positions), plain)
    torch.testing.assert_close(features.sample("mapped", positions), mapped)
    torch.testing.assert_close(readout.vectors(plain), mapped)


def test_readout_gram_matrix_of_bfloat16_is_close_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = create_readout(torch.float32).gram_matrix(create_value(torch.bfloat16, size=600))
    assert actual.dtype == torch.float32
    readout = Readout(create_readout(torch.float32).affine.double())
    exact = readout.gram_matrix(create_value(size=600))
    assert (actual - exact).abs().max() < 2e-3 * exact.abs().max()


def test_features_compute_readouts_on_access() -> None:
    readout = create_readout()
    features = Features({"a": create_value(), "b": create_value()}, {"b": readout}).with_layer("image", create_value())
    assert list(features) == ["image", "a", "b"]
    assert len(features) == 3
    assert features["a"].shape[1] == 6
    assert torch.equal(features["b"], readout.features(create_value()))
    torch.testing.assert_close(features.gram_matrix("b"), gram_matrix(features["b"]))
    torch.testing.assert_close(features.gram_matrix("a"), gram_matrix(features["a"]))
    assert as_features(features) is features
    assert as_features({"c": create_value()})["c"].shape[1] == 6


def test_masked_gram_error_weights_positions_by_their_share_of_the_mask() -> None:
    generator = torch.Generator().manual_seed(3)
    mask = (torch.rand(1, 1, 10, 14, dtype=torch.float64, generator=generator) * 2 - 1).clamp(min=0)
    one = create_value()[:1]
    share = functional.avg_pool2d(mask, 2)
    share = share / share.mean()
    area = PositionMask(mask)
    for readout in (one, create_readout().features(one)):
        weighted = torch.einsum("bchw,bdhw,bhw->bcd", readout, readout, share[:, 0]) / readout.numel()
        features = Features({"a": one}, {} if readout is one else {"a": create_readout()}).within(area)
        channel_map = None if readout is one else create_readout().gram_map()
        target = torch.eye(weighted.shape[-1], dtype=torch.float64)[None]
        actual = features.gram_error("a", target, channel_map)
        torch.testing.assert_close(actual, (weighted - target).square().mean())
        torch.testing.assert_close(features.gram_matrix("a"), weighted)
        torch.testing.assert_close(features.moments("a")[:, :-1, :-1], weighted * weighted.shape[-1])
        assert actual.dtype == torch.float64


@pytest.mark.parametrize("readouts", [{}, {"a": create_readout()}])
@pytest.mark.parametrize("whole", [None, PositionMask(torch.ones(1, 1, 10, 14))])
def test_gram_error_multiplies_the_gram_matrix_by_a_metric(
    readouts: dict[str, Readout], whole: PositionMask | None
) -> None:
    features = Features({"a": create_value()[:1]}, readouts)
    readout = features.gram_matrix("a")
    generator = torch.Generator().manual_seed(5)
    metric, target = (torch.randn(readout.shape, dtype=torch.float64, generator=generator) for _ in range(2))
    metric, target = metric + metric.mT, target + target.mT
    expected = (metric @ readout @ metric - target).square().mean()
    plain_map = ChannelMap(metric / metric.shape[-1] ** 0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        channel_map = readouts["a"].gram_map(metric) if readouts else plain_map
        actual = features.within(whole).gram_error("a", target, channel_map)
    torch.testing.assert_close(actual, expected)
