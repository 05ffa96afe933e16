from typing import Any

import pytest

from nst_lightning.study.spec.declaration import Section
from nst_lightning.study.spec.grid import choose_axes, create_layouts

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_layouts_have_rows_columns_and_further_figures() -> None:
    axes: dict[str, Any] = {"a": [1, 2], "b": [1, 2, 3], "c": [1, 2]}
    section = Section("t", "c.yaml", axes=axes)
    assert choose_axes(section) == ("b", "c")
    assert [len(layout.rows) * len(layout.columns) for layout in create_layouts(section)] == [6, 6]
    assert [list(layout.common) for layout in create_layouts(section)] == [["a"], ["a"]]
    assert choose_axes(Section("t", "c.yaml", axes=axes, rows="c")) == ("c", "b")
    assert choose_axes(Section("t", "c.yaml", axes={"a": [1]})) == (None, "a")
    assert choose_axes(Section("t", "c.yaml", snapshots=[1, 2], axes={"a": [1]})) == ("a", "step")
    assert choose_axes(Section("t", "c.yaml")) == (None, None)


def test_style_with_options_of_its_own_has_a_picture() -> None:
    styles = ["a.png", {"file": "sample:glass", "scale": 0.5}, ["a.png", "b.png"]]
    (layout,) = create_layouts(Section("t", "c.yaml", axes={"data.style": styles}))
    columns = [column for column in layout.columns if column is not None]
    assert [column.picture for column in columns] == ["a.png", "sample:glass", None]
    assert [column.label for column in columns] == ["a", "glass scale 0.5", "style a, b"]
    assert [column.options for column in columns] == [{"data.style": style} for style in styles]
