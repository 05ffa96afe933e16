from typing import Any

import pytest

from nst_lightning.study.spec.labels import axis_label, slug, value_label

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ([f"conv_{n}" for n in range(1, 6)], "conv_1-5"),
        (["conv_3"], "conv_3"),
        (["conv_1", "conv_3"], "conv_1, conv_3"),
        (1e6, "1e6"),
        (1_500_000, "1.5e6"),
        (0.02, "0.02"),
        (92, "92"),
        ("sample:harbour", "harbour"),
        ("pictures/my photo.jpg", "my photo"),
        ("noise", "noise"),
        ({"class_path": "torch.optim.Adam"}, "Adam"),
        ({"file": "sample:glass", "scale": 0.5, "rotation": [0, 90]}, "glass scale 0.5 rotation 0, 90"),
    ],
)
def test_value_label_is_short(value: Any, word: str) -> None:
    assert value_label(value) == word


def test_axis_label_is_short() -> None:
    assert axis_label("model.losses.style.init_args.weight") == "style weight"
    assert axis_label("seed_everything") == "seed"
    assert axis_label("data.plan.size") == "size"
    assert slug("Style weight: 1") == "style_weight_1"
