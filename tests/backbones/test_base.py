import torch
from torch import nn

from tests.helpers import TinyBackbone


class Model(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.full((2,), float(seed)))
        self.backbone = TinyBackbone(seed)


def test_backbone_is_not_in_the_state_dict() -> None:
    assert list(Model(0).state_dict()) == ["image"]


def test_state_dict_loads_strictly_without_changing_the_backbone() -> None:
    holder = Model(1)
    before = [p.clone() for p in holder.backbone.parameters()]
    assert holder.load_state_dict(Model(0).state_dict(), strict=True).missing_keys == []
    assert holder.image[0] == 0
    assert all(torch.equal(a, b) for a, b in zip(before, holder.backbone.parameters(), strict=True))


def test_strict_loading_reports_a_missing_image() -> None:
    assert Model(0).load_state_dict({}, strict=False).missing_keys == ["image"]


def test_build_freezes_parameters() -> None:
    backbone = TinyBackbone()
    backbone.build(["conv_1"])
    assert not any(p.requires_grad for p in backbone.parameters())
