import pytest
import torch

from nst_lightning.functional.sampling import draw_positions, sample_bilinear
from tests.helpers import random_tensor


def test_positions_depend_on_the_seed_only() -> None:
    state = torch.get_rng_state()
    assert torch.equal(draw_positions(50, 3), draw_positions(50, 3))
    assert not torch.equal(draw_positions(50, 3), draw_positions(50, 4))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("seed", range(4))
def test_positions_and_their_beginning_cover_the_picture_evenly(seed: int) -> None:
    positions = draw_positions(1024, seed)
    for count in (64, 256, 1024):
        cells = (positions[:count] * 8).long()
        counts = torch.bincount(cells[:, 0] * 8 + cells[:, 1], minlength=64)
        assert counts.tolist() == [count // 64] * 64


def test_sample_bilinear_equals_a_naive_loop() -> None:
    features, positions = random_tensor(2, 3, 4, 5), draw_positions(17, 0).double()
    actual = sample_bilinear(features, positions)
    assert actual.shape == (2, 17, 3)
    for number, (down, across) in enumerate(positions.tolist()):
        y, x = (min(max(p * size - 0.5, 0), size - 1) for p, size in ((down, 4), (across, 5)))
        expected = torch.zeros(2, 3, dtype=torch.float64)
        for row in range(4):
            for column in range(5):
                expected += max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column)) * features[:, :, row, column]
        torch.testing.assert_close(actual[:, number], expected)


def test_periodic_samples_equal_those_of_nine_tiles() -> None:
    features, positions = random_tensor(2, 3, 4, 5), draw_positions(64, 0).double()
    laid = sample_bilinear(features.repeat(1, 1, 3, 3), (1 + positions) / 3)
    torch.testing.assert_close(sample_bilinear(features, positions, periodic=True), laid)
    variable = features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sample_bilinear(x, positions[:6], periodic=True), variable)


def test_sample_bilinear_reads_the_same_place_at_every_size() -> None:
    # A linear ramp over the picture, away from the edges.
    positions = 0.2 + 0.6 * draw_positions(20, 1).double()
    for height, width in ((8, 8), (32, 16)):
        rows, columns = (torch.arange(size, dtype=torch.float64).add(0.5) / size for size in (height, width))
        ramp = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]
        torch.testing.assert_close(sample_bilinear(ramp, positions)[0], positions)


def test_sample_bilinear_passes_gradcheck() -> None:
    features = random_tensor(2, 3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sample_bilinear(x, draw_positions(6, 0).double()), features)


@pytest.mark.parametrize("size", [4, 64])
def test_sample_bilinear_of_bfloat16_is_float32(size: int) -> None:
    # The gradient of a small map is a sum of many samples.
    features = random_tensor(1, 3, size, size).bfloat16().requires_grad_()
    exact = features.detach().double().requires_grad_()
    positions = draw_positions(256, 0)
    actual, expected = sample_bilinear(features, positions), sample_bilinear(exact, positions.double())
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-5)
    actual.square().sum().backward()  # type: ignore[no-untyped-call]
    expected.square().sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(features.grad.double(), exact.grad, rtol=2e-2, atol=2e-2)
