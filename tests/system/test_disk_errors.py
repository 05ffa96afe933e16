import errno

import pytest

from nst_lightning.system.disk_errors import explain_disk_error, find_disk_error

FULL = OSError(errno.ENOSPC, "No space left on device", "a.png")


def chain(error: Exception, cause: Exception | None = None, context: Exception | None = None) -> Exception:
    error.__cause__, error.__context__ = cause, context
    error.__suppress_context__ = cause is not None
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FULL, FULL),
        (chain(RuntimeError(), cause=FULL), FULL),
        (chain(RuntimeError(), context=FULL), FULL),
        (chain(RuntimeError(), cause=ValueError(), context=FULL), None),
        (BrokenPipeError(), None),
        (RuntimeError(), None),
    ],
)
def test_error_of_the_disk_is_found_in_what_it_causes(error: Exception, expected: OSError | None) -> None:
    assert find_disk_error(error) is expected


def test_explanation_says_what_to_do() -> None:
    assert explain_disk_error(FULL) == "No space left on device at a.png: free some disk space"
    assert explain_disk_error(OSError("odd")) == "odd: make sure that the folder exists"
