"""Runs of `fit` whose losses compare parts of an image: resumed runs, and terms of some of the styles."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from nst_lightning.images.io import read_image, write_image
from tests.cli.transfer_run import read_checkpoint, run_folder
from tests.helpers import random_image

NEIGHBOR = ["--model.losses.style=NeighborLoss", "--model.losses.style.every=4", "--model.losses.style.weight=10"]
NEIGHBOR += ["--model.losses.style.layers=[conv_1,relu_3]"]
MASKED = ["--data.style=[{file: style.png, mask: left.png}, {file: other.png, mask: left.png, invert: true}]"]
PLAIN = ["--data.style=[style.png, other.png]"]


@pytest.fixture
def pictures(empty_folder: Path) -> None:
    """Writes a mask of the content of 40x30 px and a second style."""
    mask = Image.new("L", (40, 30))
    mask.paste(255, (0, 0, 22, 30))
    mask.save("left.png")
    write_image("other.png", random_image(30, 36, seed=9) * 0.4)


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("cut", [1, 3, 4, 6, 7, 9])
@pytest.mark.parametrize("per_layer", ["false", "true"])
def test_resumed_run_with_neighbors_of_parts_equals_the_whole_run_bitwise(
    run_transfer: Any, cut: int, per_layer: str
) -> None:
    args = [*NEIGHBOR, *MASKED, f"--model.losses.style.per_layer={per_layer}", "--data.hold=left.png"]
    args += ["--data.plan.steps=6", "--data.plan.ladder=octaves", "--data.plan.smallest=16"]
    assert run_transfer(*args) == 0
    assert run_transfer(*args, f"--trainer.max_steps={cut}") == 0
    assert not torch.equal(read_checkpoint(1)["state_dict"]["image"], read_checkpoint(0)["state_dict"]["image"])
    assert run_transfer(*args, "--ckpt_path=last") == 0
    assert read_checkpoint(1)["global_step"] == read_checkpoint(0)["global_step"] == 12
    assert torch.equal(read_checkpoint(1)["state_dict"]["image"], read_checkpoint(0)["state_dict"]["image"])


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("loss", [[], NEIGHBOR], ids=["gram", "neighbor"])
@pytest.mark.parametrize(("before", "after"), [(PLAIN, MASKED), (MASKED, PLAIN)], ids=["masks added", "masks removed"])
def test_run_resumes_with_other_masks(run_transfer: Any, loss: list[str], before: list[str], after: list[str]) -> None:
    steps = "--data.plan.steps=6"
    assert run_transfer(*loss, *before, steps, "--trainer.max_steps=3") == 0
    assert run_transfer(*loss, *after, steps, "--ckpt_path=last") == 0
    saved = read_checkpoint()
    assert saved["global_step"] == 6
    assert torch.isfinite(saved["state_dict"]["image"]).all()


@pytest.mark.usefixtures("pictures")
def test_state_in_a_checkpoint_is_that_of_each_part(run_transfer: Any) -> None:
    assert run_transfer(*NEIGHBOR, *MASKED) == 0
    state = read_checkpoint()["state_dict"]["objective.losses.style._extra_state"]
    assert list(state) == ["0", "1"]
    sizes = [len(part["_extra_state"]["hypercolumn"]) for part in state.values()]
    assert min(sizes) > 0


@pytest.mark.usefixtures("pictures")
def test_terms_of_single_styles_equal_terms_of_those_styles_alone(run_transfer: Any) -> None:
    terms: dict[str, Any] = {
        "content": {"class_path": "ContentLoss", "init_args": {"layers": ["conv_4"]}},
        **{
            f"style_{number}": {
                "class_path": "GramLoss",
                "init_args": {"layers": ["conv_1", "conv_2"], "weight": 1e4 * (1 + number), "styles": [number]},
            }
            for number in (0, 1)
        },
    }
    config = {"model": {"losses": terms}}
    Path("terms.yaml").write_text(yaml.safe_dump(config))
    assert run_transfer("--config=terms.yaml", *PLAIN, "--data.style_weights=[0.2,0.8]") == 0
    saved = yaml.safe_load((run_folder() / "config.yaml").read_text())
    assert saved["model"]["losses"]["style_1"]["init_args"]["styles"] == [1]
    # Other weights of the styles, and the styles exchanged together with their numbers, change nothing.
    assert run_transfer("--config=terms.yaml", *PLAIN) == 0
    for number in (0, 1):
        terms[f"style_{number}"]["init_args"]["styles"] = [1 - number]
    Path("terms.yaml").write_text(yaml.safe_dump(config))
    assert run_transfer("--config=terms.yaml", "--data.style=[other.png, style.png]") == 0
    assert run_transfer("--config=terms.yaml", *PLAIN) == 0
    images = [read_image(run_folder(number) / "stylized.png").image for number in range(4)]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])
    assert not torch.equal(images[0], images[3])


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.losses.style.styles=[2]"], "numbers of styles from 0 to 1, but got [2]"),
        (["--model.losses.style.styles=[0,0]"], "`styles` to be different numbers of styles"),
        (["--model.losses.style.styles=[]"], "`styles` to be different numbers of styles"),
        (
            ["--model.losses.style.styles=[1]", "--data.style_weights=[1,0]"],
            "one of `styles` [1] of the term 'style' to have a weight over 0",
        ),
    ],
)
def test_unusable_numbers_of_styles_are_an_error_of_one_line(
    run_transfer: Any, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run_transfer(*PLAIN, *options) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not Path("logs").exists()
