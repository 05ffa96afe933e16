"""Exceptions for mistakes of the user. Every other exception is a defect of this package."""


class InputError(ValueError):
    """An input (a file, a value, a name) cannot be used.

    The message is one line: what was expected, what was given and what to do. The command line prints it without a
    traceback and exits with status 1.
    """


class UsageError(InputError):
    """A command line or a configuration file cannot be parsed. The exit status is 2."""


class TooLargeError(InputError):
    """A run does not fit into memory."""


class DivergedError(InputError):
    """The objective or the image became NaN or infinite during a run."""
