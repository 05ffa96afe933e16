import torch

from nst_lightning.losses import ContentLoss
from tests.helpers import compute_term, random_features, set_target


def test_content_loss_equals_the_weighted_mean_squared_error() -> None:
    loss = ContentLoss(["conv_1", "conv_2"], weight=3.0, layer_weights=[1.0, 0.5])
    value, target = random_features(0), random_features(1)
    set_target(loss, target)
    expected = sum(
        3.0 * w * ((value[k] - target[k]) ** 2).sum() / value[k].numel() for k, w in (("conv_1", 1.0), ("conv_2", 0.5))
    )
    torch.testing.assert_close(compute_term(loss, value), expected)
