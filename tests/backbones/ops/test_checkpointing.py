import torch
from torch import Tensor

from nst_lightning.backbones.ops.checkpointing import checkpoint


def test_checkpointed_gradient_equals_gradient_of_the_segment() -> None:
    calls = []

    def segment(value: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        calls.append(torch.is_grad_enabled())
        return value.sin(), {"square": value.square(), "constant": value.detach() + 1}

    value = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    following, actual = checkpoint(segment, value)
    assert following is not None
    (following.sum() + (3 * actual["square"] + actual["constant"]).sum()).backward()  # type: ignore[no-untyped-call]
    assert value.grad is not None
    torch.testing.assert_close(value.grad, value.cos() + 6 * value.detach())
    assert calls == [False, True]
