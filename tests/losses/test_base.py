import pytest
import torch

from nst_lightning.errors import InputError
from nst_lightning.losses import ContentLoss, FeatureLoss, GramLoss, TotalVariationLoss
from nst_lightning.losses.base import total
from tests.helpers import compute_term, random_features, set_target


@pytest.mark.parametrize("loss_class", [ContentLoss, GramLoss])
def test_feature_loss_of_the_target_is_zero(loss_class: type[FeatureLoss]) -> None:
    loss = loss_class(["conv_1"], weight=1e6)
    set_target(loss, random_features(0))
    assert compute_term(loss, random_features(0)) == 0


def test_loss_returns_distances_by_layer_that_sum_to_the_term() -> None:
    loss = GramLoss(["conv_1", "conv_2"], weight=5.0)
    set_target(loss, random_features(1))
    parts = loss(random_features(0))
    assert list(parts) == ["conv_1", "conv_2"]
    assert torch.equal(total(parts), compute_term(loss, random_features(0)))


def test_loss_target_is_replaced_by_a_new_one() -> None:
    loss = ContentLoss(["conv_1"])
    set_target(loss, random_features(1))
    set_target(loss, random_features(0))
    assert compute_term(loss, random_features(0)) == 0


def test_loss_target_is_not_in_the_state_dict() -> None:
    loss = GramLoss(["conv_1"])
    set_target(loss, random_features(0))
    assert not loss.state_dict()


def test_feature_loss_accepts_pixels_as_a_layer() -> None:
    loss = ContentLoss(["image"])
    set_target(loss, {"image": torch.zeros(1, 3, 2, 2)})
    assert compute_term(loss, {"image": torch.full((1, 3, 2, 2), 0.5)}) == 0.25


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ContentLoss([]), "at least one layer"),
        (lambda: ContentLoss(["conv_1", "conv_1"]), "each of `layers` once"),
        (lambda: GramLoss(["conv_1"], layer_weights=[1.0, 2.0]), "a value for each of the 1 layers, but got 2"),
        (lambda: GramLoss(["conv_1"], weight=float("nan")), "`weight` to be 0 or more"),
        (lambda: GramLoss(["conv_1"], weight=-1.0), "but got -1.0"),
        (lambda: GramLoss(["conv_1"], layer_weights=[float("inf")]), "`layer_weights`"),
        (lambda: TotalVariationLoss(exponent=0.5), "`exponent` to be 1 or more"),
    ],
)
def test_loss_rejects_invalid_arguments(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]
