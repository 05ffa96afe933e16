"""Fuzzes the readers of files: ``python -m tests.fuzz --target image --minutes 15`` prints a row of a table."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.worker import COUNT_NAME, CURRENT_NAME, HANG_SECONDS, find_defect, import_targets, store_finding
from tests.helpers import ENVIRONMENT


def main() -> int:
    """Runs the command and returns the exit status: 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", required=True, help="the reader; see targets.py")
    parser.add_argument("--minutes", type=float, default=15.0, help="how long to run")
    parser.add_argument("--seed", type=int, default=0, help="of the changes")
    parser.add_argument("--folder", type=Path, default=Path("fuzz"), help="where findings are written")
    parser.add_argument("--replay", type=Path, help="read this file only, for example a finding")
    options = parser.parse_args()
    if options.replay is not None:
        return replay(options.target, options.replay)
    folder = (options.folder / options.target).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    count = fuzz(options.target, 60 * options.minutes, options.seed, folder)
    findings = sorted(folder.glob("finding-*.txt"))
    print(f"| {options.target} | {options.minutes:g} min | {count} inputs | {len(findings)} findings |")
    for path in findings:
        print(f"{path.with_suffix('')}: {path.read_text().splitlines()[0]}")
    return 1 if findings else 0


def fuzz(target: str, seconds: float, seed: int, folder: Path) -> int:
    """Fuzzes a reader in other processes, so that a crash or an endless loop is a finding too.

    Args:
        target: name of the reader.
        seconds: how long.
        seed: of the changes.
        folder: where findings are written.

    Returns:
        The number of inputs.
    """
    current, end = folder / CURRENT_NAME, time.monotonic() + seconds
    (folder / COUNT_NAME).unlink(missing_ok=True)
    with (folder / "log.txt").open("wb") as log:
        while (left := end - time.monotonic()) > 1:
            # Created again with the first input: the imports before it take long on a busy machine.
            current.unlink(missing_ok=True)
            command = [sys.executable, "-m", "tests.fuzz.worker", target, str(folder), f"{left:.0f}", str(seed)]
            worker = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT)
            problem = watch(worker, current)
            if problem is not None:
                store_finding(folder, current.read_bytes() if current.exists() else b"", problem)
            # The same inputs again would lead to the same end.
            seed += 1
    shutil.rmtree(folder / "work", ignore_errors=True)
    counter = folder / COUNT_NAME
    return int(counter.read_text()) if counter.exists() else 0


def watch(process: subprocess.Popen[bytes], current: Path) -> str | None:
    """Waits for the end of a process and returns what is wrong with it, or None.

    Args:
        process: writes each input to a file before it reads it.
        current: that file.
    """
    while process.poll() is None:
        time.sleep(0.2)
        if current.exists() and time.time() - current.stat().st_mtime > HANG_SECONDS:
            process.kill()
            process.wait()
            return f"no end after {HANG_SECONDS} seconds"
    return None if process.returncode == 0 else f"the process ended with the status {process.returncode}"


def replay(name: str, file: Path) -> int:
    """Gives one file to a reader in the folder of the file, and prints what happens."""
    target, content = import_targets(False)[name], file.read_bytes()
    work = file.absolute().parent / "work"
    work.mkdir(exist_ok=True)
    os.chdir(work)
    target.prepare()
    error = find_defect(target, content)
    if error is not None:
        raise error
    print("The file is read or refused as it should be.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
