import torch
from torch import nn

from tests.tiny import TinyBackbone


class Holder(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.full((2,), float(seed)))
        self.backbone = TinyBackbone(seed)


def test_backbone_stays_out_of_the_state_dict() -> None:
    assert list(Holder(0).state_dict()) == ["image"]


def test_state_dict_loads_strictly_and_leaves_the_backbone_as_it_is() -> None:
    holder = Holder(1)
    before = [p.clone() for p in holder.backbone.parameters()]
    assert holder.load_state_dict(Holder(0).state_dict(), strict=True).missing_keys == []
    assert holder.image[0] == 0
    assert all(torch.equal(a, b) for a, b in zip(before, holder.backbone.parameters(), strict=True))


def test_strict_loading_still_misses_the_image() -> None:
    assert Holder(0).load_state_dict({}, strict=False).missing_keys == ["image"]


def test_build_freezes() -> None:
    backbone = TinyBackbone()
    backbone.build(["conv_1"])
    assert not any(p.requires_grad for p in backbone.parameters())
