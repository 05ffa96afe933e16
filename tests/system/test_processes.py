import os
import subprocess
import sys

from nst_lightning.system.processes import is_running


def test_process_runs_until_its_end() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_running(os.getpid())
    assert is_running(process.pid)
    process.communicate(b"\n")
    assert not is_running(process.pid)


def test_number_that_no_process_can_have_is_not_running() -> None:
    assert not is_running(2**70)
