import torch

from nst_lightning.optim.state import resize_state


def test_resize_state_resizes_the_moments_of_adam() -> None:
    coarse = torch.rand(1, 3, 4, 5)
    state = {"step": torch.tensor(7.0), "exp_avg": coarse - 0.5, "exp_avg_sq": coarse.round()}
    actual = resize_state(state, 8, 10)
    assert actual["step"] == 7
    assert actual["step"] is not state["step"]
    assert actual["exp_avg"].shape == actual["exp_avg_sq"].shape == (1, 3, 8, 10)
    assert actual["exp_avg_sq"].min() >= 0
    constant = {
        "step": torch.tensor(1.0),
        "exp_avg": torch.full((1, 1, 4, 4), -0.3),
        "exp_avg_sq": torch.ones(1, 1, 4, 4),
    }
    torch.testing.assert_close(resize_state(constant, 7, 5)["exp_avg"], torch.full((1, 1, 7, 5), -0.3))


def test_resize_state_of_a_tile_commutes_with_shifts() -> None:
    moments = {"exp_avg": torch.rand(1, 3, 4, 6) - 0.5, "exp_avg_sq": torch.rand(1, 3, 4, 6)}
    shifted = {name: value.roll((1, 2), (2, 3)) for name, value in moments.items()}
    actual, expected = (
        resize_state({"step": torch.tensor(7.0), **values}, 8, 12, periodic=True) for values in (shifted, moments)
    )
    for name in moments:
        torch.testing.assert_close(actual[name], expected[name].roll((2, 4), (2, 3)))
    assert actual["exp_avg_sq"].min() >= 0


def test_resize_state_drops_the_state_of_other_optimizers() -> None:
    assert resize_state({"step": 3, "pairs": torch.zeros(1)}, 8, 8) == {}
    assert resize_state({}, 8, 8) == {}
