"""The command that measures the flicker of a film: `python -m nst_lightning flicker FILM --source CLIP`."""

import json
from pathlib import Path

from nst_lightning.cli.parser import Parser
from nst_lightning.errors import InputError
from nst_lightning.images.resize import fit_long_edge
from nst_lightning.samples import locate
from nst_lightning.video.film import Film, Selection
from nst_lightning.video.flicker import Flicker, measure_flicker
from nst_lightning.video.flow import Flow, resolve_flow
from nst_lightning.video.lookahead import Lookahead

DESCRIPTION = """Measures how much a film flickers, whoever painted it: the masked warping error, from 0 to 1. Each
frame is compared with the one before it, moved along the optical flow of the film it was painted from, where that can
be told."""


def _parser() -> Parser:
    parser = Parser(prog="python -m nst_lightning flicker", description=DESCRIPTION)
    parser.add_argument("film", type=str, help="the painted film, or a folder of its frames")
    parser.add_argument("--source", type=str, required=True, help="the film it was painted from, or sample:clip")
    parser.add_argument("--first", type=int, default=0, help="number of the source's frame it begins with")
    parser.add_argument("--stride", type=int, default=1, help="how many frames of the source go to one of the film")
    parser.add_argument("--size", type=int | None, help="long edge in px to measure at; the film's own unless given")
    parser.add_argument("--flow", type=Flow | str, default="dis", help="dis, raft or .flo files; see fit --help")
    parser.add_argument("--output", type=str | None, help="file for the numbers of all frames, as JSON")
    return parser


def main(args: list[str]) -> int:
    """Measures, prints the number, and returns the exit status.

    Args:
        args: what stands on the command line after `flicker`.
    """
    parser = _parser()
    options = parser.instantiate_classes(parser.parse_args(args))
    flow = resolve_flow(options.flow)
    if flow is None:
        raise InputError("Expected `flow` to be dis, raft or .flo files, but got none.")
    film = Film(locate(options.film))
    source = Film(locate(options.source), Selection(options.first, None, options.stride))
    found = flicker(film, source, flow, options.size)
    if options.output is not None:
        numbers = {"warping_error": found.error, "per_frame": found.frames}
        Path(options.output).write_text(json.dumps(numbers, indent=1) + "\n")
    compared = sum(error is not None for error in found.frames)
    print(f"warping error {found.error:.4f}, over {compared} of {len(found.frames)} frames")
    return 0


def flicker(film: Film, source: Film, flow: Flow, size: int | None = None) -> Flicker:
    """The flicker of a film.

    Args:
        film: that was painted.
        source: that it was painted from.
        flow: finds how things move in the source.
        size: long edge in px to measure at; the film's own unless given.

    Raises:
        InputError: the films do not belong together.
    """
    height, width = film.contents.height, film.contents.width
    height, width = fit_long_edge(height, width, size or max(height, width))
    if len(film) > len(source):
        raise InputError(
            f"Expected a film of at most {len(source)} frames, as its source has, but {film.path} has {len(film)}: "
            "give --first and --stride as it was painted with."
        )
    lookahead = Lookahead(source, flow, height, width)
    flow.check(lookahead.pairs(range(len(film))), height, width)
    try:
        return measure_flicker(film.frames(height, width), lookahead)
    finally:
        lookahead.close()
