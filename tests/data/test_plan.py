import pytest

from nst_lightning.data.plan import Plan, Stage
from nst_lightning.errors import InputError


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


def test_plan_of_a_film_has_a_ladder_for_each_shot() -> None:
    plan = Plan(size=64, steps=9, ladder="octaves", smallest=32, first_steps=7, following_steps=2)
    shot = [(32, 7), (64, 9)]
    expected = [(0, *s) for s in shot] + [(1, 64, 2)] + [(2, *s) for s in shot]
    assert plan.film_stages(3, [0, 2]) == [Stage(*stage) for stage in expected]
    assert Plan(steps=5).film_stages(2, [0])[1].steps == 5
