"""The argument parser of the commands."""

from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]  # public, but not in `__all__`
from lightning.pytorch.cli import LightningArgumentParser

from nst_lightning.cli.configs import check_aliases, find_config
from nst_lightning.cli.trainer_options import advise
from nst_lightning.errors import InputError, UsageError
from nst_lightning.training.private_api import explain_parser_error

# Options that consist of further options, outer ones first.
GROUPS = ("data", "data.plan", "model", "previews", "checkpoints", "snapshots", "trainer")


class NamedConfigFile(ActionConfigFile):
    """``--config`` that accepts the name of a configuration as well as a path; see :func:`find_config`."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Finds the file and applies it."""
        # These characters occur in YAML text, not in names of files.
        is_yaml = any(character in values for character in "{:\n")
        try:
            file_or_yaml = values if is_yaml else str(find_config(values))
        except InputError as error:
            raise UsageError(str(error)) from error
        text = file_or_yaml if is_yaml else Path(file_or_yaml).read_text(errors="replace")
        check_aliases(text, "the configuration" if is_yaml else file_or_yaml)
        try:
            super().__call__(parser, cfg, file_or_yaml, option_string)  # type: ignore[no-untyped-call]
        except (TypeError, ValueError) as error:
            # The messages of the YAML parser do not name the file.
            raise UsageError(str(error) if is_yaml else f"In {file_or_yaml}: {error}") from error


class Parser(LightningArgumentParser):
    """Parser whose errors are one line and whose ``--config`` accepts names."""

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        """Adds an argument; a configuration file can be given by its name."""
        if kwargs.get("action") is ActionConfigFile:
            kwargs["action"] = NamedConfigFile
        return super().add_argument(*args, **kwargs)

    def instantiate_classes(self, *args: Any, **kwargs: Any) -> Any:
        """Creates the objects that a configuration declares.

        Raises:
            UsageError: a new loss term has no class. jsonargparse 4.50 notices it only here.
        """
        try:
            return super().instantiate_classes(*args, **kwargs)
        except TypeError as error:
            explanation = explain_parser_error(str(error))
            if explanation is None:
                raise
            raise UsageError(explanation) from error

    def check_values(self, config: Namespace) -> None:
        """Checks what jsonargparse accepts everywhere: a value in place of a group, and null in place of a value.

        Args:
            config: the parsed configuration.

        Raises:
            UsageError: a group has no options, or null is no value of an option.
        """
        for name in GROUPS:
            if not isinstance(config[name], Namespace):
                self.error(f"Expected `{name}` to be a mapping of options, but got {config[name]!r}.")
        checked = config.clone()
        # Null means that no seed is set; the type that Lightning declares does not permit it.
        checked.seed_everything = checked.seed_everything or 0
        try:
            # Without skipping values that are null.
            self.validate(checked, False)
        except (TypeError, ValueError) as error:
            self.error(str(error))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises an error that :func:`nst_lightning.__main__.main` prints.

        Raises:
            UsageError: always.
        """
        raise UsageError(advise(message) or explain_parser_error(message) or message)
