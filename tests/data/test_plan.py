import pytest
import torch

from nst_lightning.data.plan import Plan, Stage
from nst_lightning.errors import InputError
from nst_lightning.images.resize import fit_long_edge, resize
from nst_lightning.optim.state import resize_state


def test_plan_of_one_size_has_one_stage() -> None:
    assert Plan(size=384, steps=7).stages() == [Stage(frame=0, size=384, steps=7)]


def test_plan_octaves_end_at_the_smallest_size() -> None:
    assert Plan(size=1024, ladder="octaves", smallest=128).sizes() == [128, 256, 512, 1024]


def test_plan_sqrt2_ladder_equals_crowsons() -> None:
    # crowsonkb/style-transfer-pytorch: end / sqrt(2)^k for all sizes of 128 and more.
    assert Plan(size=512, ladder="sqrt2", smallest=128).sizes() == [128, 181, 256, 362, 512]


def test_plan_accepts_a_size_below_the_smallest() -> None:
    assert Plan(size=64, ladder="octaves", smallest=128).sizes() == [64]


def test_plan_first_steps_apply_to_the_first_of_several_sizes() -> None:
    assert [s.steps for s in Plan(size=512, steps=5, ladder="octaves", first_steps=9).stages()] == [9, 5, 5]
    assert [s.steps for s in Plan(size=512, steps=5, first_steps=9).stages()] == [5]


@pytest.mark.parametrize("name", ["size", "steps", "smallest", "first_steps"])
def test_plan_rejects_zero(name: str) -> None:
    with pytest.raises(InputError, match=rf"`plan\.{name}` to be positive, but got 0"):
        Plan(**{name: 0})  # type: ignore[arg-type]


def test_fit_long_edge_keeps_the_aspect_ratio() -> None:
    assert fit_long_edge(300, 400, 512) == (384, 512)
    assert fit_long_edge(400, 300, 512) == (512, 384)
    assert fit_long_edge(1, 1000, 100) == (1, 100)


def test_resize_keeps_the_range_and_the_mean() -> None:
    image = torch.rand(1, 3, 64, 48).round()
    small = resize(image, 16, 12)
    assert small.shape == (1, 3, 16, 12)
    assert small.min() >= 0
    assert small.max() <= 1
    torch.testing.assert_close(small.mean(), image.mean(), rtol=0.02, atol=0.0)


def test_resize_to_the_same_size_returns_the_image() -> None:
    image = torch.rand(1, 3, 8, 8)
    assert resize(image, 8, 8) is image


def test_resize_state_resizes_the_moments_of_adam() -> None:
    coarse = torch.rand(1, 3, 4, 5)
    state = {"step": torch.tensor(7.0), "exp_avg": coarse - 0.5, "exp_avg_sq": coarse.round()}
    found = resize_state(state, 8, 10)
    assert found["step"] == 7
    assert found["step"] is not state["step"]
    assert found["exp_avg"].shape == found["exp_avg_sq"].shape == (1, 3, 8, 10)
    assert found["exp_avg_sq"].min() >= 0
    constant = {
        "step": torch.tensor(1.0),
        "exp_avg": torch.full((1, 1, 4, 4), -0.3),
        "exp_avg_sq": torch.ones(1, 1, 4, 4),
    }
    torch.testing.assert_close(resize_state(constant, 7, 5)["exp_avg"], torch.full((1, 1, 7, 5), -0.3))


def test_resize_state_drops_the_state_of_other_optimizers() -> None:
    assert resize_state({"step": 3, "pairs": torch.zeros(1)}, 8, 8) == {}
    assert resize_state({}, 8, 8) == {}
