import re
from dataclasses import fields

import pytest

from nst_lightning.study.spec.declaration import Section, flatten_options
from tests.helpers import PACKAGE

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_flatten_options_keeps_classes_whole() -> None:
    nested = {"model": {"losses": {"style": {"weight": 3}}, "backbone": {"class_path": "VGG19", "init_args": {"a": 1}}}}
    assert flatten_options(nested | {"data.content": "x.png"}) == {
        "model.losses.style.weight": 3,
        "model.backbone": {"class_path": "VGG19", "init_args": {"a": 1}},
        "data.content": "x.png",
    }


def test_readme_explains_all_keys_of_a_section() -> None:
    readme = (PACKAGE / "study" / "README.md").read_text()
    table = readme.split("| key of a section |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))) == {
        field.name for field in fields(Section)
    }
