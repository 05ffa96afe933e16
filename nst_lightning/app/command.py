"""The `app` command."""

import getpass
import os
import sys
import webbrowser
from pathlib import Path

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveFloat

from nst_lightning.app.guard import Guard, Policy
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.security import AUTH_VARIABLE, Credentials, check_address, is_loopback, list_hosts
from nst_lightning.app.server import build_application, build_interface, open_store, serve, use_gradio
from nst_lightning.app.uploads import DEFAULT_MAX_UPLOAD_MB, DEFAULT_UPLOAD_PIXELS
from nst_lightning.cli.parser import Parser
from nst_lightning.errors import UsageError
from nst_lightning.samples import sample_path

APP_DESCRIPTION = """Starts a web page on this machine to paint pictures and films: choose pictures, watch the painting,
change it while it is painted. Only this machine can open the page, unless --host and --auth say otherwise."""


def _create_parser() -> Parser:
    parser = Parser(prog="python -m nst_lightning app", description=APP_DESCRIPTION)
    parser.add_argument("--port", type=NonNegativeInt, default=7860, help="port of the page; 0 for a free one")
    parser.add_argument(
        "--host", type=str, default="127.0.0.1", help="address to listen to; other machines reach 0.0.0.0"
    )
    parser.add_argument(
        "--auth",
        action="store_true",
        help=f"ask for a user and a password, which {AUTH_VARIABLE}=user:password or the terminal gives",
    )
    parser.add_argument("--runs", type=str, default="logs/app", help="folder of the runs and the uploads")
    parser.add_argument(
        "--max_upload_mb", type=PositiveFloat, default=DEFAULT_MAX_UPLOAD_MB, help="largest uploaded file in MB"
    )
    parser.add_argument(
        "--max_pixels",
        type=PositiveFloat,
        default=DEFAULT_UPLOAD_PIXELS,
        help="width times height in px above which an upload is refused before it is decoded",
    )
    parser.add_argument("--no_browser", action="store_true", help="only print the address")
    return parser


def main(args: list[str]) -> int:
    """Serves the page until Ctrl-C and returns the exit status.

    Args:
        args: command line after `app`.
    """
    options = _create_parser().parse_args(args)
    check_address(options.host, options.auth)
    credentials = read_credentials() if options.auth else None
    runs = Path(options.runs).resolve()
    cache = runs / "cache"
    use_gradio(cache)
    files = open_store(runs, round(options.max_upload_mb * 2**20), round(options.max_pixels))
    queue = RunQueue(runs, files)
    try:
        _serve_page(options, queue, cache, credentials)
    finally:
        queue.close()
    print("Stopped; the next start continues what was not finished.", file=sys.stderr)
    return 0


def _serve_page(options: Namespace, queue: RunQueue, cache: Path, credentials: Credentials | None) -> None:
    page, mount_options = build_interface(queue, queue.files)

    def announce(port: int) -> None:
        name = "127.0.0.1" if is_loopback(options.host) or options.host == "0.0.0.0" else options.host
        url = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
        print(f"The app is at {url} (Ctrl-C ends it).", flush=True)
        if not options.no_browser:
            webbrowser.open(url)

    def create_policy(port: int) -> Policy:
        return Policy(
            hosts=list_hosts(options.host, port),
            cache=cache,
            max_bytes=queue.files.max_bytes,
            samples=sample_path("cat").parent.resolve(),
            credentials=credentials,
        )

    def build(port: int) -> Guard:
        return build_application(page, create_policy(port), mount_options)

    # The parser has a class of its own for numbers, which sockets do not take.
    serve(build, options.host, int(options.port), announce)


def read_credentials() -> Credentials:
    """Reads the user and the password from the environment, or asks for them in the terminal."""
    text = os.environ.get(AUTH_VARIABLE)
    if text is not None:
        return Credentials.parse(text)
    if not sys.stdin.isatty():
        raise UsageError(f"Expected user:password in the environment variable {AUTH_VARIABLE}, but it is not set.")
    user = input("User: ")
    return Credentials.parse(f"{user}:{getpass.getpass('Password: ')}")
