"""The `completion` command."""

import argparse
from typing import NoReturn

from nst_lightning.errors import UsageError
from nst_lightning.suggestions.bash_script import format_bash, format_zsh
from nst_lightning.suggestions.fish_script import format_fish
from nst_lightning.suggestions.option_table import SHELLS, list_options

COMPLETION_DESCRIPTION = """Prints a script that completes commands, options, recipes and samples at Tab. The script is
static: Tab starts no Python. Print it again after an update."""

COMPLETION_EXAMPLES = """Bash: python -m nst_lightning completion bash > ~/.nst_lightning.bash, and a line in ~/.bashrc,
source ~/.nst_lightning.bash. Zsh: the same with zsh and ~/.zshrc. Fish: python -m nst_lightning completion fish >
~/.config/fish/conf.d/nst_lightning.fish."""

_FORMATS = dict(zip(SHELLS, (format_bash, format_zsh, format_fish), strict=True))


class _CompletionParser(argparse.ArgumentParser):
    """Parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"Expected a shell among {', '.join(SHELLS)}, but: {message}.")


def main(args: list[str]) -> int:
    """Prints the script and returns the exit status.

    Args:
        args: command line after `completion`.
    """
    parser = _CompletionParser(
        prog="python -m nst_lightning completion", description=COMPLETION_DESCRIPTION, epilog=COMPLETION_EXAMPLES
    )
    parser.add_argument("shell", choices=SHELLS, help="shell that reads the script")
    shell = parser.parse_args(args).shell
    print(_FORMATS[shell](list_options()), end="")
    return 0
