import pytest
import torch
from torch import Tensor

from nst_lightning.backbones import SlimVGG19
from nst_lightning.data.transfer import StagePictures
from nst_lightning.errors import InputError
from nst_lightning.images.io import read_image
from nst_lightning.images.resize import resize
from nst_lightning.losses import GramLoss
from nst_lightning.losses.base import total
from nst_lightning.optim import CompactLBFGS
from nst_lightning.samples import sample_path
from nst_lightning.training.module import StyleTransfer
from tests.helpers import compute_term, random_features, set_target


def test_gram_loss_equals_the_mean_squared_difference_of_gram_matrices() -> None:
    loss = GramLoss(["conv_2"], weight=2.0)
    value, target = random_features(0)["conv_2"], random_features(1, size=8)["conv_2"]
    set_target(loss, {"conv_2": target})
    grams = [f[0].flatten(1) @ f[0].flatten(1).T / f.numel() for f in (value, target)]
    torch.testing.assert_close(compute_term(loss, {"conv_2": value}), 2.0 * (grams[0] - grams[1]).square().mean())


def create_separate_channels(strengths: list[float]) -> Tensor:
    """Returns features with one nonzero channel at each position, so that the Gram matrix is diagonal."""
    value = torch.zeros(1, len(strengths), len(strengths), 1)
    for channel, strength in enumerate(strengths):
        value[0, channel, channel] = strength**0.5
    return value * len(strengths)


@pytest.mark.parametrize(("whitening", "strengths"), [(0.0, [1, 1, 1]), (0.5, [1, 2, 4]), (1.0, [1, 4, 16])])
def test_gram_loss_whitening_evens_out_layers_and_directions(whitening: float, strengths: list[float]) -> None:
    loss = GramLoss(["conv_1", "conv_2"], weight=5.0, layer_weights=[1.0, 3.0], whitening=whitening)
    set_target(
        loss, {"conv_1": create_separate_channels([16.0, 4.0, 1.0]), "conv_2": create_separate_channels([8.0, 0.0])}
    )
    value = {"conv_1": create_separate_channels([4.0, 9.0, 1.0]), "conv_2": create_separate_channels([6.0, 0.0])}
    # M T M has the diagonal 16^(1 - whitening) and so on; M D M has that of D times the same factors.
    scales = torch.tensor(strengths)
    target, difference = torch.tensor([16.0, 4.0, 1.0]) * scales, torch.tensor([-12.0, 5.0, 0.0]) * scales
    near = difference.square().sum() / target.square().sum()
    far = 4 / 64
    parts = loss(value)
    torch.testing.assert_close(parts["conv_1"], 5.0 * 0.25 * near)
    torch.testing.assert_close(parts["conv_2"], torch.tensor(5.0 * 0.75 * far))


def test_gram_loss_whitening_follows_a_new_style() -> None:
    loss, fresh = (GramLoss(["conv_1"], whitening=0.5) for _ in range(2))
    set_target(loss, random_features(1))
    compute_term(loss, random_features(0))
    for each in (loss, fresh):
        set_target(each, random_features(2))
    assert torch.equal(compute_term(loss, random_features(0)), compute_term(fresh, random_features(0)))


def test_gram_loss_whitening_is_zero_for_a_style_without_features() -> None:
    loss = GramLoss(["conv_1"], whitening=0.5)
    set_target(loss, {"conv_1": torch.zeros(1, 3, 4, 4)})
    assert compute_term(loss, random_features(0)) == 0


def test_gram_loss_whitening_converges_in_fewer_steps() -> None:
    content, style = (resize(read_image(sample_path(name)).image, 128, 128) for name in ("harbour", "swirl"))
    pictures = StagePictures(content, [style], [1.0])
    layers = [f"conv_{number}" for number in range(1, 9)]
    judge = StyleTransfer(SlimVGG19(), {"style": GramLoss(layers)})
    judge.set_targets(pictures)
    start, ends = judge.objective(content)["style"], []
    for whitening in (None, 0.5):
        module = StyleTransfer(
            SlimVGG19(), {"style": GramLoss(layers, 1e6 if whitening is None else 1.0, whitening=whitening)}
        )
        module.set_targets(pictures)
        image = content.clone().requires_grad_()
        optimizer = CompactLBFGS([image])

        def closure(module: StyleTransfer = module, image: Tensor = image) -> Tensor:
            image.grad = None
            distance = total(module.criterion(image))
            distance.backward()  # type: ignore[no-untyped-call]
            return distance

        for _ in range(60):
            optimizer.step(closure)
        with torch.no_grad():
            end = judge.objective(image)["style"]
        ends.append({layer: float(end[layer] / start[layer]) for layer in layers})
    plain, even = ends
    assert all(even[layer] < plain[layer] for layer in layers)
    assert sum(even.values()) < 0.7 * sum(plain.values())


def test_gram_loss_rejects_whitening_out_of_range() -> None:
    with pytest.raises(InputError, match="`whitening` to be between 0 and 1, or null"):
        GramLoss(["conv_1"], whitening=1.5)
    with pytest.raises(InputError, match="one of `layer_weights` to be positive"):
        GramLoss(["conv_1"], layer_weights=[0.0], whitening=0.5)


def test_gram_loss_blends_gram_matrices_of_several_styles() -> None:
    blended, first, second = (GramLoss(["conv_1"]) for _ in range(3))
    set_target(blended, (random_features(1), 0.25), (random_features(2, size=8), 0.75))
    set_target(first, random_features(1))
    set_target(second, random_features(2, size=8))
    value = random_features(0)["conv_1"]
    gram = value[0].flatten(1) @ value[0].flatten(1).T / value.numel()
    blended_target = 0.25 * first.target("conv_1") + 0.75 * second.target("conv_1")
    torch.testing.assert_close(compute_term(blended, {"conv_1": value}), (gram - blended_target[0]).square().mean())
