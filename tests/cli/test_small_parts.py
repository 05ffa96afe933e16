from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.mark.parametrize("tile", ["null", "64"])
@pytest.mark.parametrize(("edge", "is_small"), [(6, True), (24, False)])
def test_layers_without_enough_positions_are_reported_in_one_line(
    run_transfer: Any, capsys: pytest.CaptureFixture[str], edge: int, is_small: bool, tile: str
) -> None:
    mask = Image.new("L", (40, 30))
    mask.paste(255, (4, 4, 4 + edge, 4 + edge))
    mask.save("mask.png")
    styles = "[{file: style.png, mask: mask.png}, sample:glass]"
    layers = "--model.losses.style.init_args.layers=[conv_1, conv_9]"
    options = [f"--data.style={styles}", "--data.rest=1", layers, "--data.plan.size=96", f"--data.plan.tile={tile}"]
    assert run_transfer(*options) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("The area of style")]
    expected = "The area of style 0 is too small for conv_9 of the term 'style' at 96 px: it was painted without these "
    assert lines == ([f"{expected}layers."] if is_small else [])
    assert Path("logs").exists()
