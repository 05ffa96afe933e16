"""Completion in shells: the scripts suggest what the commands accept, without starting a program."""

import contextlib
import io
import subprocess
from pathlib import Path

import pytest

from nst_lightning.__main__ import main
from nst_lightning.cli.configs import list_packaged_configs
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.commands import COMMANDS
from nst_lightning.samples.gallery import CLIPS, CONTENTS, STYLES
from nst_lightning.suggestions.option_table import Option, list_options, parse_help

# Characters at which an interactive bash divides words.
BREAKS = " \t\n\"'><=;|&(:"

HELP = """usage: program

options:
  -h, --help            Show this.
  -c CONFIG, --config CONFIG
                        A file; or a name.
  --data.colors {style,content}
                        `colors` of the result (type: Literal)
  --style STYLE, --style+ STYLE
                        A style.
  --flow.help [NAME]    Show the help of a class.
  --print [=flags]      Print it.
  --sizes SIZES [SIZES ...]
                        Several sizes.
  --quick               quick
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    for shell in ("bash", "zsh", "fish"):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            assert main(["completion", shell]) == 0
        (folder / shell).write_text(output.getvalue())
    return folder


def complete(script: Path, line: str, folder: Path, function: str = "_nst_lightning_python") -> list[str]:
    """Returns what bash suggests at the end of a line, without a single program in its path."""
    words = line.split(" ")
    code = f"""
source {script}
COMP_WORDBREAKS=$1 COMP_LINE=$2 COMP_POINT=${{#2}} COMP_CWORD={len(words) - 1}
COMP_WORDS=("${{@:3}}")
{function} "$3" "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    command = ["/bin/bash", "--norc", "-c", code, "bash", BREAKS, line, *words]
    run = subprocess.run(command, cwd=folder, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return run.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", list(COMMANDS)),
        ("fi", ["fit"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("fit --config ", list_packaged_configs()),
        ("fit --config wass", ["wasserstein"]),
        ("fit --config=wass", ["wasserstein"]),  # bash replaces what follows the last of its break characters
        ("study --engine ", ["local", "ray"]),
        ("study --recipe tr", ["transfer"]),
        ("fit --data.content ", [f"sample:{name}" for name in CONTENTS + CLIPS]),
        ("fit --data.style  sa", [f"sample:{name}" for name in STYLES]),
        ("fit --data.content sample:c", ["cat", "clip"]),
        ("fit --data.content=sample:ca", ["cat"]),
        ("fit --data.plan.f", ["--data.plan.first_steps", "--data.plan.following_steps"]),
        ("fit --config best --model.losses.neighbor.con", ["--model.losses.neighbor.content_share"]),
        ("fit --model.backbone.padding ", ["zeros", "replicate"]),
        ("steer --more", ["--more_steps"]),
        ("samples --o", ["--output"]),
        ("schema --command ", ["fit", "study"]),
        ("fit --output ", []),  # bash then completes the name of a file
        ("fit --data.content photo", []),
        ("unknown --", []),
    ],
)
def test_bash_completes(line: str, expected: list[str], scripts: Path, tmp_path: Path) -> None:
    for program, function in (
        ("nst_lightning", "_nst_lightning"),
        ("python -m nst_lightning", "_nst_lightning_python"),
        ("/opt/nst_lightning/bin/python3 -m nst_lightning", "_nst_lightning_python"),
    ):
        assert complete(scripts / "bash", f"{program} {line}", tmp_path, function) == expected


def test_bash_completes_recipes_of_the_working_folder(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tram.yaml").touch()
    line = "python -m nst_lightning fit --config tra"
    assert complete(scripts / "bash", line, tmp_path) == ["transfer", "tram"]


def test_bash_leaves_other_uses_of_python_alone(scripts: Path, tmp_path: Path) -> None:
    assert complete(scripts / "bash", "python -m pytest --", tmp_path) == []


def test_help_is_parsed() -> None:
    assert list(parse_help(HELP)) == [
        Option("--help", takes_value=False, text="Show this"),
        Option("--config", values=tuple(list_packaged_configs()), text="A file"),
        Option("--data.colors", values=("style", "content"), text="colors of the result"),
        Option("--style", text="A style"),
        Option("--print", takes_value=False, text="Print it"),
        Option("--sizes", text="Several sizes"),
        Option("--quick", takes_value=False, text="quick"),
    ]


@pytest.fixture(scope="module")
def table() -> dict[str, list[Option]]:
    return list_options()


def test_every_command_has_options(table: dict[str, list[Option]]) -> None:
    assert list(table) == list(COMMANDS)
    for name in COMMANDS:
        assert "--help" in [option.name for option in table[name]]
    for option in ("--data.plan.size", "--model.losses.style.weight", "--trainer.logger.save_dir", "--output"):
        assert option in [known.name for known in table["fit"]]


def test_options_of_terms_are_accepted(table: dict[str, list[Option]]) -> None:
    names = {option.name for option in table["fit"]}
    for option, value in (("--model.losses.smooth.exponent", "3"), ("--model.backbone.checkpointing", "true")):
        assert option in names
        TransferCLI(["--config=transfer", f"{option}={value}"])


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_every_option(shell: str, scripts: Path, table: dict[str, list[Option]]) -> None:
    text = (scripts / shell).read_text()
    for options in table.values():
        for option in options:
            name = option.name.removeprefix("--")
            assert (f"-l {name} " if shell == "fish" else f"--{name}") in text


def test_command_rejects_another_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert capsys.readouterr().err.startswith("error: Expected a shell among bash, zsh, fish, but: ")
