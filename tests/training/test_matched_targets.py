"""Targets that describe only those parts of a style that resemble the content."""

import pytest
import torch
from torch import Tensor

from nst_lightning.backbones import SlimVGG19
from nst_lightning.data.transfer import StagePictures
from nst_lightning.errors import InputError
from nst_lightning.functional.neighbors import mark_matches
from nst_lightning.losses import GramLoss, WassersteinLoss
from nst_lightning.training.objective import Objective
from tests.helpers import random_image, smooth_image

LEFT, RIGHT = random_image(64, 64, seed=1) ** 4, 1 - 0.2 * smooth_image(64, 64, seed=2)
STYLE = torch.cat([LEFT, RIGHT], dim=3)


def read_target(matched: float, content: Tensor | None, style: Tensor = STYLE) -> Tensor:
    loss = GramLoss(["relu2_1"], matched=matched)
    objective = Objective(SlimVGG19(), {"style": loss})
    objective.set_targets(StagePictures(content, [style], [1.0]))
    return loss.target("relu2_1")


def test_marks_are_the_nearest_neighbors_with_a_ring() -> None:
    candidates = torch.randn(1, 4, 6, 7, generator=torch.Generator().manual_seed(0))
    queries = candidates[:, :, 2:4, 3:5]
    rows, others = (value.flatten(2)[0].T for value in (queries, candidates))
    rows, others = rows - rows.mean(0), others - others.mean(0)
    nearest = [int((others @ row / others.norm(dim=1)).argmax()) for row in rows]
    expected = torch.zeros(6, 7)
    for index in nearest:
        y, x = divmod(index, 7)
        expected[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 1
    assert torch.equal(mark_matches(queries, candidates)[0, 0], expected)


def test_content_that_equals_the_style_matches_all_of_it() -> None:
    torch.testing.assert_close(read_target(1.0, STYLE), read_target(0.0, STYLE))


def test_target_describes_the_part_that_the_content_resembles() -> None:
    # A third part of the style, stripes, resembles nothing in the content.
    stripes = (torch.arange(64) // 4 % 2).float().expand(1, 3, 64, 64)
    style = torch.cat([STYLE, stripes], dim=3)
    resembled, plain = read_target(0.0, None, STYLE), read_target(0.0, None, style)
    assert (read_target(1.0, STYLE, style) - resembled).norm() < 0.3 * (plain - resembled).norm()


def test_target_is_blended_with_the_plain_one() -> None:
    plain, matched, blended = (read_target(share, LEFT) for share in (0.0, 1.0, 0.25))
    torch.testing.assert_close(blended, 0.75 * plain + 0.25 * matched)


def test_without_content_the_target_is_plain() -> None:
    assert torch.equal(read_target(1.0, None), read_target(0.0, None))


def test_matched_targets_follow_the_content_when_the_style_stays() -> None:
    loss = WassersteinLoss(["relu2_1"], matched=1.0)
    objective = Objective(SlimVGG19(), {"style": loss})
    objective.set_targets(StagePictures(LEFT, [STYLE], [1.0]))
    first = loss.require_buffer("mean", "relu2_1").clone()
    objective.set_targets(StagePictures(RIGHT, [STYLE], [1.0]), keep_style=True)
    assert not torch.allclose(first, loss.require_buffer("mean", "relu2_1"))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_is_checked(share: float) -> None:
    with pytest.raises(InputError, match="matched"):
        GramLoss(["conv_1"], matched=share)
