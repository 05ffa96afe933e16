"""The `flicker` command: measures the flicker of a film."""

import json
from pathlib import Path

from nst_lightning.cli.parser import Parser
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import check_output_path, write_bytes
from nst_lightning.images.resize import fit_long_edge
from nst_lightning.samples import locate
from nst_lightning.video.film import Film, FrameSelection
from nst_lightning.video.flicker import Flicker, measure_flicker
from nst_lightning.video.flow import Flow, resolve_flow
from nst_lightning.video.lookahead import Lookahead

FLICKER_DESCRIPTION = """Measures the flicker of any film as its masked warping error, from 0 to 1: each frame is
compared with the previous one, warped along the optical flow of the source film, wherever that flow is reliable."""


def _create_parser() -> Parser:
    parser = Parser(prog="python -m nst_lightning flicker", description=FLICKER_DESCRIPTION)
    parser.add_argument("film", type=str, help="painted film, or folder of its frames")
    parser.add_argument("--source", type=str, required=True, help="film that it was painted from, or sample:clip")
    parser.add_argument("--first", type=int, default=0, help="number of the source's frame that the film starts with")
    parser.add_argument("--stride", type=int, default=1, help="frames of the source per frame of the film")
    parser.add_argument("--size", type=int | None, help="long edge in px to measure at; by default that of the film")
    parser.add_argument("--flow", type=Flow | str, default="dis", help="dis, raft or .flo files; see fit --help")
    parser.add_argument("--output", type=str | None, help="file for the numbers of all frames, as JSON")
    return parser


def main(args: list[str]) -> int:
    """Measures a film, prints its warping error, and returns the exit status.

    Args:
        args: command line after `flicker`.
    """
    parser = _create_parser()
    options = parser.instantiate_classes(parser.parse_args(args))
    flow = resolve_flow(options.flow)
    if flow is None:
        raise InputError("Expected `flow` to be dis, raft or .flo files, but got none.")
    output = None if options.output is None else check_output_path(Path(options.output))
    film = Film(locate(options.film))
    source = Film(locate(options.source), FrameSelection(options.first, None, options.stride))
    flicker = compare_films(film, source, flow, options.size)
    if output is not None:
        numbers = {"warping_error": flicker.error, "per_frame": flicker.frames}
        write_bytes(output, (json.dumps(numbers, indent=1) + "\n").encode())
    compared = sum(error is not None for error in flicker.frames)
    print(f"warping error {flicker.error:.4f}, over {compared} of {len(flicker.frames)} frames")
    return 0


def compare_films(film: Film, source: Film, flow: Flow, size: int | None = None) -> Flicker:
    """Measures the flicker of a film along the motion of its source.

    Args:
        film: painted film.
        source: film that it was painted from.
        flow: method that finds the motion of the source.
        size: long edge in px to measure at; by default that of the film.

    Raises:
        InputError: the film has more frames than its source, or the flow is not available.
    """
    height, width = film.info.height, film.info.width
    height, width = fit_long_edge(height, width, size or max(height, width))
    if len(film) > len(source):
        raise InputError(
            f"Expected a film of at most {len(source)} frames, as its source has, but {film.path} has {len(film)}: "
            "give the --first and --stride that it was painted with."
        )
    lookahead = Lookahead(source, flow, height, width)
    flow.check(lookahead.pairs(range(len(film))), height, width)
    try:
        return measure_flicker(film.frames(height, width), lookahead)
    finally:
        lookahead.close()
