"""The completion script of fish."""

from collections.abc import Iterator, Mapping, Sequence

from nst_lightning.commands import COMMANDS
from nst_lightning.suggestions.option_table import SHELLS, Option

_FISH = """\
# Completion of nst_lightning in fish.
function __nst_lightning_words
    set -l words (commandline -opc)
    if string match -qr '^python' -- $words[1]
        set -l place (contains -i -- nst_lightning $words)
        or return 1
        set -l before (math $place - 1)
        test "$words[$before]" = -m
        or return 1
        set words $words[$place..]
    end
    string join \\n -- $words
end
function __nst_lightning_is
    set -l words (__nst_lightning_words)
    test (count $words) -ge 2 -a "$words[2]" = "$argv[1]"
end
function __nst_lightning_starts
    test (count (__nst_lightning_words)) -eq 1
end
function __nst_lightning_configs
    for file in configs/*.yaml
        string replace -r '.*/(.*)\\.yaml$' '$1' -- $file
    end
end
"""


def format_fish(table: Mapping[str, Sequence[Option]]) -> str:
    """Returns the script for fish.

    Args:
        table: the options of each command.
    """
    lines = [line for program in ("nst_lightning", "python", "python3") for line in _list_lines(program, table)]
    return _FISH + "\n".join(lines) + "\n"


def _list_lines(program: str, table: Mapping[str, Sequence[Option]]) -> Iterator[str]:
    for name, (_, text) in COMMANDS.items():
        yield f"complete -c {program} -n __nst_lightning_starts -f -a {name} -d '{text}'"
    yield f"complete -c {program} -n '__nst_lightning_is completion' -f -a '{' '.join(SHELLS)}'"
    for name, options in table.items():
        for option in options:
            line = f"complete -c {program} -n '__nst_lightning_is {name}' -l {option.name.removeprefix('--')}"
            values = " ".join(option.values)
            if option.name in ("--config", "--recipe"):
                values += " (__nst_lightning_configs)"
            line += " -r" if option.takes_value else ""
            yield line + (f" -a '{values}'" if values else "") + f" -d '{option.text}'"
