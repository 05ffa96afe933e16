"""Checkpoints of other runs and programs, damaged ones, and those with hostile pickles."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nst_lightning.__main__ import main
from tests.helpers import write_pair
from tests.robustness.refusals import FIT


class Hostile:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch hacked",)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The checkpoint of a run of three steps after its second one."""
    folder, before = tmp_path_factory.mktemp("saved"), Path.cwd()
    os.chdir(folder)
    try:
        write_pair(folder)
        assert main([*FIT, "--data.plan.steps=3", "--trainer.max_steps=2"]) == 0
        checkpoint: dict[str, Any] = torch.load(next(folder.rglob("last.ckpt")), weights_only=True)
    finally:
        os.chdir(before)
    return checkpoint


def edit(*path: str, value: Any = None, remove: bool = False) -> Callable[[dict[str, Any]], Any]:
    """Returns a function that replaces or removes an entry."""

    def change(checkpoint: dict[str, Any]) -> Any:
        inner = checkpoint
        for name in path[:-1]:
            inner = inner[name]
        if remove:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        return checkpoint

    return change


NAN = torch.full((1, 3, 24, 32), float("nan"))
EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "list": lambda checkpoint: [checkpoint],
    "tensor": lambda checkpoint: torch.zeros(3),
    "empty": lambda checkpoint: {},
    "no entry": edit("nst_lightning", remove=True),
    "entry of another type": edit("nst_lightning", value=3),
    "entry without stage": edit("nst_lightning", "stage", remove=True),
    "stage of another type": edit("nst_lightning", "stage", value="first"),
    "negative stage": edit("nst_lightning", "stage", value=-1),
    "negative step": edit("nst_lightning", "step", value=-1),
    "later stage": edit("nst_lightning", "stage", value=7),
    "NaN step": edit("nst_lightning", "step", value=float("nan")),
    "no optimizer": edit("nst_lightning", "optimizer", remove=True),
    "other optimizer": edit("nst_lightning", "optimizer", value="Adam"),
    "threads of another type": edit("nst_lightning", "threads", value="many"),
    "too many threads": edit("nst_lightning", "threads", value=10**9),
    "tile of another type": edit("nst_lightning", "tile", value="large"),
    "objectives of another type": edit("nst_lightning", "objectives", value=3),
    "no image": edit("state_dict", "image", remove=True),
    "no states": edit("state_dict", remove=True),
    "image of another shape": edit("state_dict", "image", value=torch.zeros(1, 3, 20, 20)),
    "image of one dimension": edit("state_dict", "image", value=torch.zeros(5)),
    "image of four channels": edit("state_dict", "image", value=torch.zeros(1, 4, 24, 32)),
    "image that is no tensor": edit("state_dict", "image", value="picture"),
    "image of NaN": edit("state_dict", "image", value=NAN),
    "no loops": edit("loops", remove=True),
    "no steps": edit("global_step", remove=True),
    "no states of optimizers": edit("optimizer_states", remove=True),
    "states of optimizers of another type": edit("optimizer_states", value=[3]),
    "optimizer without state": edit("optimizer_states", value=[{"param_groups": []}]),
    "optimizer with another state": edit("optimizer_states", value=[{"state": {0: 3}, "param_groups": [{}]}]),
    "optimizer without groups": edit("optimizer_states", value=[{"state": {}, "param_groups": []}]),
    "loops without counters": edit("loops", "fit_loop", value={}),
    "counters of another type": edit("loops", "fit_loop", "epoch_loop.batch_progress", value="none"),
    "callbacks of another type": edit("callbacks", value=[]),
    "changes of another type": edit("callbacks", "LiveSteering", "changes", value=3),
    "image without values": edit("state_dict", "image", value=torch.zeros(1, 3, 24, 32, device="meta")),
    "image that is not stored": edit("state_dict", "image", value=torch.zeros(1, 1, 1, 1).expand(1, 3, 24, 32)),
    "sparse image": edit("state_dict", "image", value=torch.zeros(1, 3, 24, 32).to_sparse()),
    "hostile pickle": edit("more", value=Hostile()),
}


@pytest.mark.parametrize("name", EDITS)
def test_checkpoint_is_refused(refuse: Callable[..., str], saved: dict[str, Any], name: str) -> None:
    copied = pickle.loads(pickle.dumps(saved))
    torch.save(EDITS[name](copied), "bad.ckpt")
    refuse(["--data.plan.steps=3", "--ckpt_path=bad.ckpt"], "heckpoint")
    assert not Path("hacked").exists()


def shorten(checkpoint: dict[str, Any], *path: Any) -> None:
    """Removes the last values of a tensor."""
    inner = checkpoint
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = inner[path[-1]][..., :3].clone()


@pytest.mark.parametrize("name", ["gradient", "pairs", "along", "valid", "RunSummary"])
@pytest.mark.usefixtures("refuse")
def test_states_that_do_not_fit_end_the_run_in_one_line(
    saved: dict[str, Any], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = pickle.loads(pickle.dumps(saved))
    if name == "RunSummary":
        copied["callbacks"][name] = {"seconds": 1.0}
    else:
        shorten(copied, "optimizer_states", 0, "state", 0, name)
    torch.save(copied, "bad.ckpt")
    capsys.readouterr()
    assert main([*FIT, "--data.plan.steps=3", "--ckpt_path=bad.ckpt"]) == 1
    assert "error: Expected a checkpoint that this run can continue from" in capsys.readouterr().err


def test_damaged_checkpoint_is_refused(refuse: Callable[..., str], saved: dict[str, Any]) -> None:
    torch.save(saved, "whole.ckpt")
    content = Path("whole.ckpt").read_bytes()
    for length in (1, 100, len(content) // 2, len(content) - 10):
        Path("cut.ckpt").write_bytes(content[:length])
        refuse(["--ckpt_path=cut.ckpt"], "cut.ckpt cannot be read as one")


def test_plain_pickle_is_not_executed(refuse: Callable[..., str]) -> None:
    Path("bad.ckpt").write_bytes(pickle.dumps(Hostile()))
    refuse(["--ckpt_path=bad.ckpt"], "cannot be read as one")
    with zipfile.ZipFile("zip.ckpt", "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Hostile()))
    refuse(["--ckpt_path=zip.ckpt"], "cannot be read as one")
    torch.save(Hostile(), "weights.pth")
    refuse(["--model.backbone=VGG19", "--model.backbone.weights=weights.pth"])
    refuse(
        ["--model.backbone=VGG19", "--model.backbone.weights=weights.pth", "--model.backbone.preprocessing=imagenet"],
        "torch cannot read",
    )
    assert not Path("hacked").exists()


@pytest.mark.usefixtures("refuse")
def test_unknown_entries_of_a_checkpoint_are_ignored(saved: dict[str, Any]) -> None:
    copied = pickle.loads(pickle.dumps(saved))
    copied["more"] = {"of": "another version"}
    copied["nst_lightning"]["version"] = "99.0"
    copied["nst_lightning"]["more"] = 3
    torch.save(copied, "later.ckpt")
    assert main([*FIT, "--data.plan.steps=3", "--ckpt_path=later.ckpt"]) == 0
