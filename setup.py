"""Gives the package index a README whose links and pictures are absolute; everything else is in pyproject.toml."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent


def read_readme() -> str:
    """Returns the README with links to the repository in place of relative ones."""
    home = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"]
    files = home.replace("https://github.com/", "https://raw.githubusercontent.com/") + "/main/"
    text = re.sub(r"(!\[[^\]]*\]\()(?!\w+:|#)", rf"\g<1>{files}", (ROOT / "README.md").read_text())
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!\w+:|#)", rf"\g<1>{home}/blob/main/", text)


setup(long_description=read_readme(), long_description_content_type="text/markdown")
