"""The strength of the style."""

import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import StagePictures, TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture
from nst_lightning.images.resize import resize
from nst_lightning.losses import (
    ContentLoss,
    DisocclusionGramLoss,
    GramLoss,
    Loss,
    TemporalLoss,
    TotalVariationLoss,
    WassersteinLoss,
)
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.strength import content_factor, restore_details, strength_factor, style_factor
from tests.helpers import TinyBackbone, ignore_lightning_warnings, random_image, smooth_image

pytestmark = ignore_lightning_warnings

CONTENT, STYLE = random_image(48, 64, seed=1), smooth_image(30, 36, seed=2)
STRENGTHS = [number / 20 for number in range(21)]
LADDER: dict[str, Any] = {"size": 64, "steps": 8, "ladder": "octaves", "smallest": 16}


def create_losses() -> dict[str, Loss]:
    return {
        "content": ContentLoss(["conv_2"], weight=1.0),
        "style": GramLoss(["conv_1", "conv_3"], weight=1e3, whitening=0.5),
        "colors": WassersteinLoss(["conv_1"], weight=0.3),
        "smooth": TotalVariationLoss(weight=0.1),
    }


def create_module(losses: dict[str, Loss] | None = None, **options: Any) -> StyleTransfer:
    return StyleTransfer(TinyBackbone(), losses or create_losses(), **options)


def paint(
    content: Tensor | None = CONTENT, styles: tuple[Tensor, ...] = (STYLE,), plan: Any = None, **options: Any
) -> Tensor:
    """Paints and returns the image; `trainer` and `checkpoint` are those of the Trainer."""
    given, checkpoint = options.pop("trainer", {}), options.pop("checkpoint", None)
    module = create_module(**options)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **given,
    )
    pictures = None if content is None else Picture(content), [Picture(style) for style in styles]
    trainer.fit(
        module, datamodule=TransferData.from_pictures(*pictures, Plan(**(plan or LADDER))), ckpt_path=checkpoint
    )
    if "max_steps" in given:
        trainer.save_checkpoint("cut.ckpt")
    return module.image.detach()


def test_factors_are_one_at_the_balance_and_zero_at_the_ends() -> None:
    assert content_factor(0.5) == style_factor(0.5) == 1.0
    assert content_factor(0.0) == style_factor(1.0) == 1.0
    assert content_factor(1.0) == style_factor(0.0) == 0.0


def test_factors_are_monotone_and_mirror_each_other() -> None:
    assert [style_factor(s) for s in STRENGTHS] == sorted(style_factor(s) for s in STRENGTHS)
    assert [content_factor(s) for s in STRENGTHS] == sorted((content_factor(s) for s in STRENGTHS), reverse=True)
    for strength in STRENGTHS:
        assert content_factor(strength) == pytest.approx(style_factor(1 - strength), rel=1e-12, abs=1e-30)
        assert max(content_factor(strength), style_factor(strength)) == 1.0


@pytest.mark.parametrize(
    ("loss", "factor"),
    [
        (ContentLoss(["conv_1"]), content_factor),
        (GramLoss(["conv_1"]), style_factor),
        (WassersteinLoss(["conv_1"]), style_factor),
        (DisocclusionGramLoss(["conv_1"]), style_factor),
        (TotalVariationLoss(), style_factor),
        (TemporalLoss(), lambda strength: 1.0),
    ],
)
def test_factor_of_a_term_follows_what_it_compares_with(loss: Loss, factor: Any) -> None:
    for strength in STRENGTHS:
        assert strength_factor(loss, strength) == factor(strength)


@pytest.mark.parametrize("strength", [-0.1, 1.01, math.nan, math.inf])
def test_module_rejects_invalid_strengths(strength: float) -> None:
    with pytest.raises(InputError, match=r"`model\.strength` to be from 0 \(photograph\) to 1 \(style\), but got"):
        create_module(strength=strength)


def test_weight_of_a_loss_is_the_given_weight_times_the_factor() -> None:
    loss = TotalVariationLoss(weight=3.0)
    loss.set_strength_factor(0.5)
    loss.set_strength_factor(0.25)
    assert loss.weight == 0.75
    loss.weight = 8.0
    assert loss.weight == 2.0
    with pytest.raises(InputError, match="`weight` to be 0 or more"):
        loss.weight = -1.0


def test_modules_with_the_same_losses_do_not_compound_factors() -> None:
    losses, pictures = create_losses(), StagePictures(CONTENT, [STYLE], [1.0])
    first = create_module(losses, strength=0.25)
    weights = [loss.weight for loss in losses.values()]
    create_module(losses, strength=0.25)
    assert [loss.weight for loss in losses.values()] == weights
    create_module(losses, strength=0.8)
    first.set_targets(pictures)
    assert [loss.weight for loss in losses.values()] == weights
    create_module(losses, strength=0.5)
    assert [loss.weight for loss in losses.values()] == [1.0, 1e3, 0.3, 0.1]


@pytest.mark.parametrize("strength", [0.0, 0.2, 0.5, 0.7, 1.0])
def test_terms_are_those_of_the_recipe_times_the_factors(strength: float) -> None:
    image, pictures = random_image(48, 64, seed=3), StagePictures(CONTENT, [STYLE], [1.0])
    plain, scaled = create_module(), create_module(strength=strength)
    plain.set_targets(pictures)
    scaled.set_targets(pictures)
    expected = plain.criterion(image)
    for name, term in scaled.criterion(image).items():
        factor = content_factor(strength) if name == "content" else style_factor(strength)
        torch.testing.assert_close(term, factor * expected[name])


def test_run_at_the_balance_equals_a_run_without_the_option_bitwise() -> None:
    assert torch.equal(paint(strength=0.5), paint())


@pytest.mark.parametrize("optimizer", [None, torch.optim.Adam])
def test_strength_0_is_the_photograph_at_the_end_of_a_ladder(optimizer: Any) -> None:
    options = {} if optimizer is None else {"optimizer": optimizer}
    torch.testing.assert_close(paint(strength=0.0, **options), CONTENT, rtol=0, atol=1e-6)
    # The smallest size alone has lost most of this content.
    assert (resize(resize(CONTENT, 12, 16), 48, 64) - CONTENT).abs().mean() > 0.1


def test_distances_are_monotone_in_the_strength() -> None:
    def create_pair() -> dict[str, Loss]:
        return {"content": ContentLoss(["conv_2"]), "style": GramLoss(["conv_1", "conv_3"], weight=1e3)}

    module = create_module(create_pair())
    module.set_targets(StagePictures(CONTENT, [STYLE], [1.0]))
    contents, styles = [], []
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        with torch.no_grad():
            terms = module.criterion(paint(strength=strength, plan={"size": 64, "steps": 60}, losses=create_pair()))
        contents.append(float(terms["content"]))
        styles.append(float(terms["style"]))
    assert contents == sorted(set(contents))
    assert styles == sorted(set(styles), reverse=True)


def test_restored_details_are_the_weighted_part_that_a_size_has_lost() -> None:
    image, previous = random_image(48, 64, seed=5), resize(CONTENT, 24, 32)
    lost = CONTENT - resize(previous, 48, 64)
    for strength in (0.0, 0.1, 0.3):
        expected = image + (1 - style_factor(strength)) * lost
        torch.testing.assert_close(restore_details(image, CONTENT, previous, strength), expected)
    for strength in (0.5, 0.9):
        assert restore_details(image, CONTENT, previous, strength) is image
    assert torch.equal(restore_details(resize(previous, 48, 64), CONTENT, previous, 0.0), CONTENT)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.8])
def test_run_with_a_strength_resumes_bitwise(strength: float, empty_folder: Path) -> None:
    plan = LADDER | {"steps": 3}
    whole = paint(strength=strength, plan=plan)
    for cut in range(1, 9):
        paint(strength=strength, plan=plan, trainer={"max_steps": cut})
        assert torch.equal(paint(strength=strength, plan=plan, checkpoint="cut.ckpt"), whole), cut


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_strength_has_no_effect_without_content_or_style(strength: float) -> None:
    plan = LADDER | {"steps": 2}
    texture: dict[str, Loss] = {"style": GramLoss(["conv_1"])}
    reconstruction: dict[str, Loss] = {"content": ContentLoss(["conv_1"])}
    for content, styles, losses in ((None, (STYLE,), texture), (CONTENT, (), reconstruction)):
        options: dict[str, Any] = {"losses": losses, "initialization": "noise"}
        assert torch.equal(
            paint(content, styles, plan, strength=strength, **options), paint(content, styles, plan, **options)
        )
