from pathlib import Path

import torch

from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData


def test_film_content_keeps_a_limited_number_of_frames(tmp_path: Path) -> None:
    data = TransferData("sample:clip", None, plan=Plan(size=64, following_steps=1))
    data.setup("fit")
    film = data.film
    assert film is not None
    film.keep_frames(tmp_path)
    data.require_previous_frames([1, 2, 4])
    for stage in data.stages:
        data.pictures(stage)
        film.frames.write(stage.frame, torch.zeros(1, 3, 48, 64))
        ahead = film._lookahead
        assert ahead is not None
        assert len(ahead._futures) <= 2
        assert len(ahead._contents) <= 7
    data.teardown("fit")
