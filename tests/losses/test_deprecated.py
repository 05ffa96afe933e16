import pytest
import yaml

import nst_lightning
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.losses import DisocclusionGramLoss

OLD_NAMES = ("RevealedGramLoss", "nst_lightning.RevealedGramLoss", "nst_lightning.losses.RevealedGramLoss")


def test_deprecated_loss_gives_a_notice_of_one_line() -> None:
    with pytest.warns(UserWarning, match="`RevealedGramLoss` is now called `DisocclusionGramLoss`") as caught:
        loss = nst_lightning.RevealedGramLoss(["conv_1"], weight=2.0, frames=3)
    assert isinstance(loss, DisocclusionGramLoss)
    assert (loss.weight, loss.offsets) == (2.0, (3,))
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)


@pytest.mark.parametrize("name", OLD_NAMES)
def test_deprecated_loss_works_in_configurations(name: str) -> None:
    term = {"class_path": name, "init_args": {"layers": ["conv_1"], "frames": 3}}
    cli = TransferCLI(["--config=video", "--config", yaml.safe_dump({"model": {"losses": {"revealed": term}}})])
    assert cli.config.model.losses["revealed"].class_path.endswith("RevealedGramLoss")
    with pytest.warns(UserWarning, match="the old name ends with the next version"):
        losses = cli.parser.instantiate_classes(cli.config).model.objective.losses
    assert losses["revealed"].offsets == (3,)
