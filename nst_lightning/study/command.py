"""The `study` command."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from tqdm import tqdm

from nst_lightning.cli.parser import Parser
from nst_lightning.errors import InputError
from nst_lightning.study.engine.grouping import group_runs
from nst_lightning.study.engine.interruption import Interruption
from nst_lightning.study.engine.local import Outcome, run_local
from nst_lightning.study.engine.paint import Job
from nst_lightning.study.engine.records import failure, state, summary
from nst_lightning.study.report import PAGE, is_up_to_date, write_page
from nst_lightning.study.spec.declaration import Study
from nst_lightning.study.spec.folders import folder_study
from nst_lightning.study.spec.plan import Planner, ResolvedStudy, Run
from nst_lightning.study.spec.read import read_study
from nst_lightning.study.spec.words import slug

BAR = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}, {remaining} left]"


def _parser() -> Parser:
    parser = Parser(
        prog="python -m nst_lightning study",
        description="Paints every picture of a study and makes a page of them. What is done is not done again.",
    )
    parser.add_argument(
        "--config",
        action="append",
        type=str,
        default=[],
        help="file of the study; in a further one, configurations of `fit` that go on top of every section's",
    )
    parser.add_argument("--contents", type=str | None, help="folder or glob of contents, each painted in every style")
    parser.add_argument("--styles", type=str | None, help="folder or glob of styles")
    parser.add_argument(
        "--recipe", type=list[str] | str | None, help="configuration of `fit` for --contents by --styles"
    )
    parser.add_argument("--size", type=int | None, help="long edge of all pictures in px; else as configurations say")
    parser.add_argument("--output", type=str | None, help="folder; logs/study/TITLE unless given")
    parser.add_argument("--engine", type=Literal["local", "ray"], default="local", help="where runs are painted")
    parser.add_argument("--ray.address", type=str | None, help="of a Ray cluster; else one is started here")
    parser.add_argument("--ray.gpus_per_run", type=float, default=0.0, help="share of a GPU that a run takes")
    parser.add_argument("--batch", type=int, default=1, help="paint up to so many like runs at once")
    return parser


def main(args: list[str]) -> int:
    """Paints a study and returns the exit status: 0, 1 where a run failed, or 130 after Ctrl-C.

    Args:
        args: what stands on the command line after `study`.
    """
    options = _parser().parse_args(args)
    study = _declared(options)
    plan = Planner(_places(options), options.size).plan(study)
    output = Path(os.path.abspath(options.output or Path("logs") / "study" / slug(study.title)))
    output.mkdir(parents=True, exist_ok=True)
    return Studio(plan, output, options).run()


def _declared(options: Namespace) -> Study:
    """The study of the configuration, or that of two folders."""
    if options.batch < 1:
        raise InputError(f"Expected `--batch` to be 1 or more, but got {options.batch}.")
    study = read_study(options.config)
    if options.contents is None and options.styles is None:
        return study
    if study.sections:
        raise InputError("Expected --config with sections, or --contents and --styles, but got both.")
    return folder_study(study, options.contents, options.styles, options.recipe)


def _places(options: Namespace) -> list[Path]:
    """Where configuration files of sections are looked for."""
    beside = [Path(path).parent for path in options.config]
    return list(dict.fromkeys([Path(), *beside]))


class Studio:
    """Paints what of a study is not painted yet, and keeps the page.

    Args:
        plan: the study.
        output: its folder.
        options: of the command.
    """

    def __init__(self, plan: ResolvedStudy, output: Path, options: Namespace) -> None:
        self.plan, self.output, self.options = plan, output, options
        self._page_written = time.monotonic()

    def run(self) -> int:
        """Paints and returns the exit status."""
        left = [run for run in self.plan.runs if state(run.folder(self.output)) != "done"]
        self._done = len(self.plan.runs) - len(left)
        if self._done:
            print(f"{self._done} of {len(self.plan.runs)} runs are done already.")
        interrupted = False
        try:
            interrupted = self._paint(group_runs(left, self.output, self.options.batch))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if left or not is_up_to_date(self.plan, self.output):
                write_page(self.plan, self.output)
        return self._end(self.output / PAGE, interrupted)

    def _paint(self, jobs: Sequence[Job]) -> bool:
        """Paints jobs below a bar and returns whether Ctrl-C ended it."""
        steps = sum(run.steps for job in jobs for run in job.runs)
        with Interruption() as interruption, tqdm(total=steps, bar_format=BAR, disable=not jobs) as bar:
            self._describe(bar)
            for outcome in self._engine(jobs, bar):
                if outcome.interrupted:
                    return True
                for run in outcome.job.runs:
                    self._tell(run, bar)
                self._keep_page()
                if interruption.asked:
                    return True
        return False

    def _engine(self, jobs: Sequence[Job], bar: Any) -> Iterator[Outcome]:
        if self.options.engine == "local":
            return run_local(jobs, bar.update)
        from nst_lightning.study.engine.cluster import run_on_ray

        return run_on_ray(jobs, bar.update, self.options.ray.address, self.options.ray.gpus_per_run)

    def _describe(self, bar: Any) -> None:
        bar.set_description_str(f"{self._done}/{len(self.plan.runs)} runs")

    def _tell(self, run: Run, bar: Any) -> None:
        """Says in a line what became of a run."""
        message = failure(run.folder(self.output))
        made = summary(run.folder(self.output))
        if message:
            bar.write(f"{run.label}: failed: {message}")
        elif made is not None:
            self._done += 1
            numbers = f"{made['steps']} steps, {made['seconds']:.1f} s, loss {made['losses']['total']:.4g}"
            bar.write(f"{run.label}: {numbers}")
        self._describe(bar)

    def _keep_page(self, every_seconds: float = 30.0) -> None:
        """Brings the page up to date, now and then."""
        if time.monotonic() - self._page_written > every_seconds:
            write_page(self.plan, self.output)
            self._page_written = time.monotonic()

    def _end(self, page: Path, interrupted: bool) -> int:
        print(page)
        if interrupted:
            print("Stopped before the end: the same command goes on.", file=sys.stderr)
            return 130
        failed = sum(bool(failure(run.folder(self.output))) for run in self.plan.runs)
        if failed:
            print(f"error: {failed} of {len(self.plan.runs)} runs failed; the page says why.", file=sys.stderr)
        return 1 if failed else 0
