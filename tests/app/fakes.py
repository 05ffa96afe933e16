"""A process in place of `fit`, and a small page in place of the real one."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from nst_lightning.app.history import RunView
from nst_lightning.app.painting import Painting, StyleInput
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.uploads import UploadStore

# What the fake process does, chosen by the seed of the painting.
FINISHES, PAINTS_ON, FAILS, DIES, IGNORES = 1, 2, 3, 4, 5

SCRIPT = """
import json, os, pathlib, re, signal, sys, time
options = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
folder = pathlib.Path(options["trainer.logger.init_args.save_dir"], options["trainer.logger.init_args.version"])
kind = int(options["seed_everything"])
(folder / "starts.txt").open("a").write(options.get("ckpt_path", "new") + "\\n")

def finish(number, frame):
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"checkpoint")
    (folder / "stylized.png").write_bytes(b"picture")
    sys.exit(130)

signal.signal(signal.SIGINT, signal.SIG_IGN if kind == 5 else finish)
if kind == 3:
    sys.exit(f"some line\\nerror: Expected something in {folder}, but got nothing.")
if kind == 4:
    os.kill(os.getpid(), signal.SIGKILL)
if kind == 1:
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"checkpoint")
    (folder / "stylized.png").write_bytes(b"picture")
step = 0
while kind in (2, 5):
    step += 1
    live = {"state": "painting", "pid": os.getpid(), "step": step, "objective": 2.0 / step}
    live["terms"] = {"style": 2.0 / step}
    temporary = folder / "live.part"
    temporary.write_text(json.dumps(live))
    temporary.replace(folder / "live.json")
    time.sleep(0.05)
"""


def start_fake(arguments: list[str], log: BinaryIO) -> subprocess.Popen[bytes]:
    """Replaces `start_fit`."""
    return subprocess.Popen(
        [sys.executable, "-S", "-c", SCRIPT, *arguments], stdout=log, stderr=log, start_new_session=True
    )


def make_painting(seed: int = 0, **options: Any) -> Painting:
    """Returns a painting of the samples at 48 px."""
    values: dict[str, Any] = {"content": "sample:cat", "styles": (StyleInput("sample:glass"),), "size": 48}
    return Painting(**(values | {"seed": seed} | options))


def open_queue(runs: Path) -> RunQueue:
    """Opens a queue with its uploads."""
    return RunQueue(runs, UploadStore(runs / "uploads", 2**20, 10**6))


def wait_for(queue: RunQueue, run: str, condition: Callable[[RunView], bool], seconds: float = 240) -> RunView:
    """Waits until a run fulfills a condition."""
    end = time.monotonic() + seconds
    while not condition(view := queue.view(run)):
        assert time.monotonic() < end, view
        time.sleep(0.05)
    return view


def wait_for_state(queue: RunQueue, run: str, state: str) -> RunView:
    """Waits until a run has a state."""
    return wait_for(queue, run, lambda view: view.state == state)


def build_fake_page(queue: RunQueue, files: UploadStore) -> tuple[Any, dict[str, Any]]:
    """Replaces `build_interface`: a picture, whose path is the answer of a button, and a text."""
    import gradio

    with gradio.Blocks() as page:
        picture = gradio.Image(type="filepath")
        text = gradio.Textbox()
        gradio.Button("name").click(lambda path: str(path), picture, text, api_name="name")
        gradio.Button("fail").click(lambda: 1 / 0, None, text, api_name="fail")
        gradio.Button("wait").click(lambda: time.sleep(1), api_name="wait")
    return page, {}
