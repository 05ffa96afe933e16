"""Runs the `app` command with a small page and fake processes: `python -m tests.app.fake_server ARGUMENTS`."""

import sys
from typing import Any

from nst_lightning.__main__ import main
from nst_lightning.app import command, run_process
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.uploads import UploadStore
from tests.app.fakes import PAINTS_ON, build_fake_page, make_painting, start_fake


def build_and_submit(queue: RunQueue, files: UploadStore) -> tuple[Any, dict[str, Any]]:
    """Builds the page; with a file `submit` in the folder of the runs, a run is added."""
    if (queue.runs / "submit").exists():
        queue.submit(make_painting(PAINTS_ON))
    return build_fake_page(queue, files)


if __name__ == "__main__":
    run_process.start_fit = start_fake
    vars(command)["build_interface"] = build_and_submit
    sys.exit(main(["app", "--no_browser", *sys.argv[1:]]))
