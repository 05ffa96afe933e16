"""The one exception that stands for a mistake of the person at the keyboard."""


class InputError(ValueError):
    """Something that was given (a file, a value, a name) cannot be used.

    Its message is one line that says what was expected, what came and what to do. The command line prints it
    without a traceback and exits with status 1; every other exception is a defect of ours and keeps its traceback.
    """


class UsageError(InputError):
    """A command line or a configuration file that cannot be parsed; the exit status is 2."""


class TooLargeError(InputError):
    """A run that would not fit into memory."""


class DivergedError(InputError):
    """The objective or the image became NaN or infinite while the picture was painted."""
