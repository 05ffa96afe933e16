"""The parser of our commands."""

from typing import NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from nst_lightning.cli.trainer_options import advise
from nst_lightning.errors import UsageError


class Parser(LightningArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises what :func:`nst_lightning.__main__.main` prints."""
        raise UsageError(advise(message) or message)
