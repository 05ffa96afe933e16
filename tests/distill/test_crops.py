from pathlib import Path

import pytest
import torch

from nst_lightning.distill.crops import Crops, find_photographs, split_validation
from nst_lightning.distill.photograph_data import Photographs
from nst_lightning.errors import InputError


def test_photographs_stay_in_their_split_when_others_are_added() -> None:
    paths = [Path(f"{number}.png") for number in range(1000)]
    training, validation = split_validation(paths)
    assert sorted([*training, *validation]) == sorted(paths)
    assert 50 < len(validation) < 150
    assert set(split_validation(paths[:500])[1]) == set(validation) & set(paths[:500])


@pytest.mark.parametrize("is_jittered", [True, False])
def test_crops_are_seeded(folder: Path, is_jittered: bool) -> None:
    paths = find_photographs([str(folder)])
    first, again = (list(Crops(paths, 3, 2, 64, seed=5, is_jittered=is_jittered)) for _ in range(2))
    (shifted,) = Crops(paths, 1, 2, 64, seed=6, is_jittered=is_jittered)
    assert first[0].shape == (2, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(shifted, first[1])  # batch n of a seed is the first batch of seed + n
    assert not torch.equal(first[0], first[1])


def test_crops_reject_a_small_size(folder: Path) -> None:
    with pytest.raises(InputError, match="at least 64 px, but got 63"):
        Crops(find_photographs([str(folder)]), 1, 1, 63, seed=0)


def test_crops_reject_a_folder_without_photographs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected photographs"):
        find_photographs([str(tmp_path)])


def test_crops_reject_too_few_photographs(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "1.png").symlink_to(folder / "1.png")
    with pytest.raises(InputError, match=r"but got 1 in .*: add photographs"):
        Photographs([str(tmp_path)]).setup("fit")
