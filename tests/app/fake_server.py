"""Runs the `app` command with a small page and fake processes: `python -m tests.app.fake_server ARGUMENTS`."""

import os
import sys
from typing import Any

from nst_lightning.__main__ import main
from nst_lightning.app import command, run_process
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.uploads import UploadStore
from tests.app.fakes import PAINTS_ON, build_fake_page, make_painting, start_fake

# Environment variable with the file that lists connections to other machines.
FOREIGN = "FOREIGN_CONNECTIONS"


def build_and_submit(queue: RunQueue, files: UploadStore) -> tuple[Any, dict[str, Any]]:
    """Builds the page; with a file `submit` in the folder of the runs, a run is added."""
    if (queue.runs / "submit").exists():
        queue.submit(make_painting(PAINTS_ON))
    return build_fake_page(queue, files)


def record_connections(event: str, arguments: tuple[Any, ...]) -> None:
    """Writes each connection to another machine, and each question for its address, into `FOREIGN`."""
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if host not in (None, "localhost", "127.0.0.1", "::1"):
        with open(os.environ[FOREIGN], "a") as file:
            file.write(f"{event} {host}\n")


if __name__ == "__main__":
    if FOREIGN in os.environ:
        sys.addaudithook(record_connections)
    run_process.start_fit = start_fake
    vars(command)["build_interface"] = build_and_submit
    sys.exit(main(["app", "--no_browser", *sys.argv[1:]]))
