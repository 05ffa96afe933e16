import pytest
import torch

from nst_lightning.samples import sample_path
from nst_lightning.samples.drawing.clip import Clip
from nst_lightning.video.film import Film
from nst_lightning.video.flicker import WarpingError, measure_flicker
from nst_lightning.video.flow import DIS
from nst_lightning.video.lookahead import Lookahead


def test_warping_error_metric_equals_a_naive_loop() -> None:
    frames = torch.rand(4, 1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    metric, squares, count = WarpingError(), 0.0, 0.0
    for number in range(1, 4):
        flow = torch.zeros(1, 2, 6, 8)
        flow[:, 0], flow[:, 1] = number - 2, 1  # in whole pixels
        mask = (torch.rand(1, 1, 6, 8, generator=torch.Generator().manual_seed(number)) > 0.4).float()
        metric.update(frames[number], frames[number - 1], flow, mask)
        for y in range(6):
            for x in range(8):
                there = 5 - abs(y + 1 - 5), 7 - abs(abs(x + number - 2) - 7)  # mirrored at the edges
                for channel in range(3):
                    difference = frames[number, 0, channel, y, x] - frames[number - 1, 0, channel, there[0], there[1]]
                    squares += float(mask[0, 0, y, x] * difference**2) / 3
                count += float(mask[0, 0, y, x])
    assert float(metric.compute()) == pytest.approx((squares / count) ** 0.5, rel=1e-6)
    metric.update(frames[0], frames[1], torch.zeros(1, 2, 6, 8), torch.zeros(1, 1, 6, 8))
    assert float(metric.compute()) == pytest.approx((squares / count) ** 0.5, rel=1e-6), "a mask of zeros adds nothing"


def test_warping_error_metric_states_add_up() -> None:
    one, two, both = WarpingError(), WarpingError(), WarpingError()
    still, all_of_it = torch.zeros(1, 2, 4, 4), torch.ones(1, 1, 4, 4)
    for metrics, image in (((one, both), torch.rand(1, 3, 4, 4)), ((two, both), torch.rand(1, 3, 4, 4))):
        for metric in metrics:
            metric.update(image, torch.zeros(1, 3, 4, 4), still, all_of_it)
    mean_of_squares = (one.compute() ** 2 + two.compute() ** 2) / 2
    torch.testing.assert_close(both.compute(), mean_of_squares.sqrt())


def test_warping_error_metric_is_small_for_the_clip_and_large_for_noise() -> None:
    clip, film = Clip(), Film(sample_path("clip"))
    steady = measure_flicker(film.frames(192, 256), Lookahead(Film(sample_path("clip")), DIS(), 192, 256))
    assert steady.frames[0] is None
    assert len(steady.frames) == 24
    noisy_frames = (
        frame + 0.1 * torch.randn(frame.shape, generator=torch.Generator().manual_seed(n))
        for n, frame in enumerate(film.frames(192, 256))
    )
    noisy = measure_flicker(noisy_frames, Lookahead(Film(sample_path("clip")), DIS(), 192, 256))
    assert steady.error < 0.03
    assert noisy.error == pytest.approx((0.02 + steady.error**2) ** 0.5, rel=0.1)
    assert clip.frames == 24
