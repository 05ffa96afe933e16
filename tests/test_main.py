import ast
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import nst_lightning
from nst_lightning import losses
from nst_lightning.__main__ import import_command, main
from nst_lightning.commands import COMMANDS
from nst_lightning.errors import InputError
from tests.helpers import ENVIRONMENT, PACKAGE, ROOT


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_a_function(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nst_lightning.__main__.request_huge_pages", lambda: None)
    assert callable(import_command(name))


def test_warnings_are_one_line_without_source(capsys: pytest.CaptureFixture[str]) -> None:
    code = """
import sys, warnings
from nst_lightning import __main__
__main__.import_command = lambda name: lambda args: warnings.warn("old\\n name") or 0
sys.exit(__main__.main(["samples"]))
"""
    run = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert run.stderr == "warning: old name\n"


def test_error_is_one_short_line_without_control_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: list[str]) -> int:
        raise InputError(f"Expected a\nfile,\tbut got \x1b[31m{'x' * 5000}")

    monkeypatch.setattr("nst_lightning.__main__.import_command", lambda name: fail)
    assert main(["samples"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Expected a file, but got ?[31mxxx")
    assert line.endswith("xxx...")
    assert len(line) < 2000


def test_warning_format_is_restored(tmp_path: Path) -> None:
    before = warnings.formatwarning
    assert main(["samples", f"--output={tmp_path}"]) == 0
    assert warnings.formatwarning is before


def test_public_names_are_visible_to_type_checkers() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names if alias.asname == alias.name}
    modules = dict(nst_lightning._MODULES)
    assert {name: seen[name] for name in modules} == modules
    assert set(seen) == set(nst_lightning.__all__)
    assert set(nst_lightning.__all__) <= set(dir(nst_lightning))


def test_losses_are_all_public() -> None:
    assert set(losses.__all__) <= set(nst_lightning.__all__)


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for command in ("fit", "distill", "flicker", "samples"):
        assert re.search(rf"^  {command} +\w", printed, re.MULTILINE)
    assert main([]) == 2
    assert main(["paint"]) == 2
    assert f"Expected a command among {', '.join(COMMANDS)}, but got 'paint'" in capsys.readouterr().err


# argparse, which prints the help of `fit`, ignores a closed pipe.
@pytest.mark.parametrize(("command", "status"), [([], 141), (["fit"], 0)])
def test_help_handles_a_closed_pipe(command: list[str], status: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments = [sys.executable, "-m", "nst_lightning", *command, "--help"]
    process = subprocess.run(arguments, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    os.close(writer)
    assert (process.returncode, process.stderr) == (status, "")


def test_help_does_not_import_torch() -> None:
    code = "import sys; from nst_lightning.__main__ import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0
