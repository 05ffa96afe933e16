import pytest
import torch

from nst_lightning.functional.boxes import clear_outside, cut_box, intersect_boxes, shift_box, view_box


def test_boxes_are_shifted_and_intersected() -> None:
    assert shift_box((4, 8, 10, 12), (3, 10)) == (1, 5, 0, 2)
    assert intersect_boxes((0, 4, 0, 9), (2, 8, 3, 5)) == (2, 4, 3, 5)
    assert intersect_boxes((0, 4, 0, 9), (4, 8, 0, 9)) is None
    assert intersect_boxes((0, 4, 0, 9), (0, 4, 9, 12)) is None


def test_a_box_is_viewed_and_all_outside_of_it_cleared() -> None:
    values = torch.ones(1, 2, 5, 6)
    view_box(values, (1, 3, 2, 6)).fill_(2)
    clear_outside(values, (1, 3, 2, 6))
    assert values.sum() == 2 * 2 * 2 * 4
    assert bool((values[..., 1:3, 2:] == 2).all())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_cut_has_the_gradient_of_a_slice_in_the_layout_of_the_map(layout: torch.memory_format) -> None:
    features = torch.rand(2, 3, 5, 8).contiguous(memory_format=layout).requires_grad_()
    cut, part = cut_box(features, (1, 4, 2, 7)), features[..., 1:4, 2:7]
    assert torch.equal(cut, part)
    assert cut.data_ptr() == part.data_ptr()
    actual, expected = (torch.autograd.grad(value.pow(3).sum(), features)[0] for value in (cut, part))
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
    assert actual.is_contiguous(memory_format=layout)
