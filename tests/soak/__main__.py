"""Disturbs runs by signals at random moments: ``python -m tests.soak --minutes 20`` prints a table."""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.attack import Report, attack, paint
from tests.soak.kinds import KINDS, write_inputs

NAMES = ("SIGKILL", "SIGTERM", "SIGINT", "SIGSTOP")


def main() -> int:
    """Runs the soak test and returns the exit status: 1 if something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long to disturb runs in total")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the signals")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS), help="kinds of runs")
    parser.add_argument("--most", type=int, default=6, help="signals for each run before it may finish")
    options = parser.parse_args()
    reports = soak(options.minutes, options.seed, options.kinds, options.most)
    print(format_table(reports))
    return 1 if any(report.failures for report in reports.values()) else 0


def soak(minutes: float, seed: int, names: list[str], most: int) -> dict[str, Report]:
    """Disturbs runs of each kind in turn and returns what happened, by kind.

    Args:
        minutes: how long to start new runs.
        seed: of the moments and the signals.
        names: kinds of runs.
        most: signals for each run.
    """
    reports = {name: Report() for name in names}
    moments, before = random.Random(seed), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            write_inputs()
            undisturbed = {}
            for name in names:
                undisturbed[name] = paint(KINDS[name])
                Path(KINDS[name].folder).rename(f"expected_{name}")
                print(f"{name}: {undisturbed[name][1]:.0f} s undisturbed", file=sys.stderr)
            end = time.monotonic() + 60 * minutes
            while time.monotonic() < end:
                for name in names:
                    count = len(reports[name].failures)
                    attack(KINDS[name], *undisturbed[name], moments, reports[name], most)
                    for failure in reports[name].failures[count:]:
                        print(f"{name}: {failure}", file=sys.stderr)
                    if time.monotonic() > end:
                        break
        except KeyboardInterrupt:
            print("Stopped: the table shows what was done until now.", file=sys.stderr)
        finally:
            os.chdir(before)
    return reports


def format_table(reports: dict[str, Report]) -> str:
    """Returns the reports as a Markdown table."""
    lines = [f"| kind | runs | {' | '.join(NAMES)} | resumes | failures |", "|---" * (len(NAMES) + 4) + "|"]
    for name, report in reports.items():
        counts = " | ".join(str(report.signals[number]) for number in NAMES)
        lines.append(f"| {name} | {report.runs} | {counts} | {report.resumes} | {len(report.failures)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
