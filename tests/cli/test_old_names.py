from pathlib import Path

import pytest
import yaml

from nst_lightning.cli.old_names import current_name, replace_old_options
from nst_lightning.cli.transfer_cli import TransferCLI


def test_old_option_sets_the_new_one() -> None:
    with pytest.warns(UserWarning, match=r"`model\.losses\.revealed` is now called `model\.losses\.disocclusion`"):
        cli = TransferCLI(["--config=video", "--model.losses.revealed.weight=3"])
    assert cli.config.model.losses["disocclusion"].init_args.weight == 3
    assert "revealed" not in cli.config.model.losses


def test_old_name_works_in_a_configuration(tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    term = {"class_path": "DisocclusionGramLoss", "init_args": {"layers": ["conv_1"]}}
    config.write_text(yaml.safe_dump({"model": {"losses": {"revealed": term}}}))
    args = ["--config", "video", "--config", str(config), "--model.losses.revealed.weight=3"]
    assert replace_old_options(args) == args
    assert TransferCLI(args).config.model.losses["revealed"].init_args.weight == 3


def test_old_names_leave_other_options_unchanged() -> None:
    args = ["--config=video", "--model.losses.revealed_more.weight", "3", "--model.losses.style.weight=1"]
    assert replace_old_options(args) == args
    assert current_name("model.losses.revealed.weight") == "model.losses.disocclusion.weight"
    assert current_name("model.losses.revealed_more") == "model.losses.revealed_more"
