"""The table of commands."""

from collections.abc import Callable
from importlib import import_module

# The function of each command and a line of help. The module is imported when its command runs, so that help is quick.
COMMANDS = {
    "fit": ("nst_lightning.cli.fit:main", "paint a picture or a film from a configuration"),
    "steer": ("nst_lightning.cli.steer_command:main", "change a run that is painting, or stop it"),
    "study": ("nst_lightning.study.command:main", "paint many pictures and show them on one page"),
    "benchmark": ("nst_lightning.benchmark.command:main", "measure speed, memory and time to quality"),
    "distill": ("nst_lightning.distill.command:main", "train the weights of SlimVGG19, or measure them"),
    "app": ("nst_lightning.app.command:main", "paint in the browser, on a page of this machine"),
    "flicker": ("nst_lightning.cli.flicker_command:main", "measure the flicker of a stylized film"),
    "samples": ("nst_lightning.samples.command:main", "write the sample pictures and the sample clip to a folder"),
    "schema": ("nst_lightning.suggestions.schema_command:main", "write a JSON Schema of YAML files, for editors"),
    "completion": ("nst_lightning.suggestions.completion_command:main", "print a script for completion in a shell"),
}


def load_command(name: str) -> Callable[[list[str]], int]:
    """Imports the function of a command.

    Args:
        name: one of `COMMANDS`.
    """
    module, _, function = COMMANDS[name][0].partition(":")
    command: Callable[[list[str]], int] = getattr(import_module(module), function)
    return command
