import ast
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import nst_lightning
from nst_lightning import losses
from nst_lightning.__main__ import COMMANDS, import_command, main

PACKAGE = Path(nst_lightning.__file__).parent


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
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stderr == "warning: old name\n"


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
