from pathlib import Path

import pytest

from nst_lightning.study.spec.missing_layers import drop_missing_layers
from tests.study.studies import create_section, resolve_study

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_missing_layers_are_dropped_and_named(tmp_path: Path) -> None:
    layers = [f"conv_{n}" for n in range(1, 16)]
    section = create_section(axes={"model.losses.style.layers": [layers]}, missing_layers="drop")
    (resolved_section,) = resolve_study(tmp_path, section).sections
    kept = resolved_section.figures[0].cells[0, 0].run.configuration["model"]["losses"]["style"]["init_args"]["layers"]
    assert kept == layers[:13]
    assert resolved_section.notes == ["SlimVGG19 ends at conv_13: conv_14, conv_15 left out."]
    vgg = {"class_path": "nst_lightning.backbones.VGG19", "init_args": {"weights": "random"}}
    term = {"class_path": "GramLoss", "init_args": {"layers": [*layers, "image"]}}
    assert drop_missing_layers({"model": {"backbone": vgg, "losses": {"style": term}}}) == []
