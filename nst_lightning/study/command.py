"""The `study` command."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt
from tqdm import tqdm

from nst_lightning.cli.parser import Parser
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import remove_partial_files
from nst_lightning.study.engine.grouping import group_runs
from nst_lightning.study.engine.local_engine import JobResult, run_locally
from nst_lightning.study.engine.paint import PaintJob
from nst_lightning.study.engine.process_count import choose_process_count
from nst_lightning.study.engine.process_engine import run_in_processes
from nst_lightning.study.engine.run_records import read_failure, read_status, read_summary
from nst_lightning.study.report import PAGE_FILE, is_up_to_date, write_page
from nst_lightning.study.spec.config_files import locate_config
from nst_lightning.study.spec.folder_study import create_folder_study
from nst_lightning.study.spec.labels import slug
from nst_lightning.study.spec.resolved_study import ResolvedStudy, StudyRun
from nst_lightning.study.spec.run_key import folder_run_key, run_key
from nst_lightning.study.spec.study_files import read_study
from nst_lightning.study.spec.study_resolver import StudyResolver
from nst_lightning.system.folder_lock import claim_folder
from nst_lightning.system.interrupts import INTERRUPTED_STATUS, InterruptHandler

BAR_FORMAT = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}, {remaining} left]"


def main(args: list[str]) -> int:
    """Paints a study.

    Args:
        args: the command line after `study`.

    Returns:
        The exit status: 0, 1 if a run failed, or 130 after Ctrl-C and SIGTERM.
    """
    options = _create_parser().parse_args(args)
    if options.batch < 1:
        raise InputError(f"Expected `--batch` to be 1 or more, but got {options.batch}.")
    if options.engine == "ray" and options.jobs != "auto":
        raise InputError("Expected --jobs with --engine local, but got --engine ray, which uses all cores: drop one.")
    files = [locate_config(name) for name in options.config]
    study, key = read_study(files), run_key
    if options.contents is not None or options.styles is not None:
        if study.sections:
            raise InputError("Expected --config with sections, or --contents and --styles, but got both: drop one.")
        study = create_folder_study(study, options.contents, options.styles, options.recipe)
        # Runs of the default recipe keep the keys they had before it was a file.
        key = folder_run_key if options.recipe is None else run_key
    folders = list(dict.fromkeys([Path(), *(path.parent for path in files)]))
    resolved = StudyResolver(folders, options.size, key, options.threads).resolve(study)
    output = Path(os.path.abspath(options.output or Path("logs") / "study" / slug(study.title)))
    with claim_folder(output):
        remove_partial_files(output)
        return StudyPainter(resolved, output, options).run()


def _create_parser() -> Parser:
    parser = Parser(
        prog="python -m nst_lightning study",
        description="Paints all pictures of a study and shows them on one page. Finished runs are not painted again; "
        "interrupted runs resume.",
    )
    parser.add_argument(
        "--config",
        action="append",
        type=str,
        default=[],
        help="study file, or the name of a packaged one (assignment); further ones are configurations of `fit` "
        "that override those of all sections",
    )
    parser.add_argument("--contents", type=str | None, help="folder or glob of contents; each is painted in all styles")
    parser.add_argument("--styles", type=str | None, help="folder or glob of styles")
    parser.add_argument(
        "--recipe",
        type=list[str] | str | None,
        help="configuration of `fit` for --contents and --styles; transfer by default",
    )
    parser.add_argument("--size", type=int | None, help="long edge of all pictures in px; by default as configured")
    parser.add_argument("--output", type=str | None, help="folder of the study; logs/study/TITLE by default")
    parser.add_argument(
        "--engine", type=Literal["local", "ray"], default="local", help="paint on this machine or on a Ray cluster"
    )
    parser.add_argument(
        "--ray.address", type=str | None, help="address of a running Ray cluster; by default one starts on this machine"
    )
    parser.add_argument("--ray.gpus_per_run", type=float, default=0.0, help="share of a GPU for each run")
    parser.add_argument("--batch", type=int, default=1, help="paint up to this many similar runs at once")
    parser.add_argument(
        "--jobs",
        type=PositiveInt | Literal["auto"],
        default="auto",
        help="paint in this number of processes of one thread each; `auto` uses one for each free core if the pictures "
        "are small, else a single one",
    )
    parser.add_argument(
        "--threads", type=PositiveInt | Literal["auto"] | None, help="threads of each run; by default as configured"
    )
    return parser


class StudyPainter:
    """Paints the unfinished runs of a study and keeps its page up to date.

    Args:
        study: the study.
        output: folder of the study.
        options: options of the command.
    """

    def __init__(self, study: ResolvedStudy, output: Path, options: Namespace) -> None:
        self.study, self.output, self.options = study, output, options
        self._done = 0
        self._page_written = time.monotonic()

    def run(self) -> int:
        """Paints and returns the exit status."""
        unfinished = [run for run in self.study.runs if read_status(run.folder(self.output)) != "done"]
        self._done = len(self.study.runs) - len(unfinished)
        if self._done:
            print(f"{self._done} of {len(self.study.runs)} runs are done already.")
        is_interrupted = False
        try:
            is_interrupted = self._paint(group_runs(unfinished, self.output, self.options.batch))
        except KeyboardInterrupt:
            is_interrupted = True
        finally:
            if unfinished or not is_up_to_date(self.study, self.output):
                write_page(self.study, self.output)
        print(self.output / PAGE_FILE)
        if is_interrupted:
            print("Stopped before the end: run the same command to resume.", file=sys.stderr)
            return INTERRUPTED_STATUS
        failed = sum(bool(read_failure(run.folder(self.output))) for run in self.study.runs)
        if failed:
            print(f"error: {failed} of {len(self.study.runs)} runs failed; the page shows why.", file=sys.stderr)
        return 1 if failed else 0

    def _paint(self, jobs: Sequence[PaintJob]) -> bool:
        """Paints jobs with a progress bar and returns whether Ctrl-C was pressed."""
        steps = sum(run.steps for job in jobs for run in job.runs)
        with InterruptHandler() as interrupt, tqdm(total=steps, bar_format=BAR_FORMAT, disable=not jobs) as bar:
            self._update_description(bar)
            for result in self._start_engine(jobs, bar):
                if result.is_interrupted:
                    return True
                for run in result.job.runs:
                    self._print_result(run, bar)
                self._update_page()
                if interrupt.is_pressed:
                    return True
        return False

    def _start_engine(self, jobs: Sequence[PaintJob], bar: Any) -> Iterator[JobResult]:

        def advance(steps: int) -> None:
            # The number of frames of a film, and so of its steps, is known only when it is open.
            bar.total = max(bar.total, bar.n + steps)
            bar.update(steps)

        if self.options.engine == "local":
            processes = self._choose_process_count(jobs, bar)
            return run_in_processes(jobs, advance, processes) if processes > 1 else run_locally(jobs, advance)
        # Ray is an optional dependency.
        from nst_lightning.study.engine.ray_engine import run_on_ray

        return run_on_ray(jobs, advance, self.options.ray.address, self.options.ray.gpus_per_run)

    def _choose_process_count(self, jobs: Sequence[PaintJob], bar: Any) -> int:
        """Returns the number of processes, and prints it if it was not given."""
        if self.options.jobs != "auto":
            return min(int(self.options.jobs), len(jobs))
        processes = choose_process_count(jobs)
        if processes > 1:
            bar.write(f"Painting in {processes} processes of 1 thread each; --jobs 1 paints in a single one.")
        return processes

    def _update_description(self, bar: Any) -> None:
        bar.set_description_str(f"{self._done}/{len(self.study.runs)} runs")

    def _print_result(self, run: StudyRun, bar: Any) -> None:
        """Prints the result of a run in one line above the progress bar."""
        message = read_failure(run.folder(self.output))
        summary = read_summary(run.folder(self.output))
        if message:
            bar.write(f"{run.label}: failed: {message}")
        elif summary is not None:
            self._done += 1
            numbers = f"{summary['steps']} steps, {summary['seconds']:.1f} s, loss {summary['losses']['total']:.4g}"
            bar.write(f"{run.label}: {numbers}")
        self._update_description(bar)

    def _update_page(self, every_seconds: float = 30.0) -> None:
        """Writes the page if it is older than a number of seconds."""
        if time.monotonic() - self._page_written > every_seconds:
            write_page(self.study, self.output)
            self._page_written = time.monotonic()
