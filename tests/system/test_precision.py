from types import MappingProxyType

import pytest
import torch

from nst_lightning.system.precision import is_emulated, native_precision, native_precisions


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bf16-mixed"), ({"bf16": True}, "bf16-mixed"), ({"avx512_f": True}, "32-true")],
)
def test_native_precision_depends_on_the_processor(
    capabilities: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(capabilities))
    assert native_precision("cpu") == native_precisions("cpu")[-1] == expected
    assert native_precisions("cpu")[0] == "32-true"
    assert not is_emulated("32-true", "cpu")
    assert is_emulated("bf16-mixed", "cpu") is (expected == "32-true")


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_native_precision_prefers_the_gpu(native: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType({"avx512_bf16": not native}))
    assert native_precision("auto") == expected
    assert native_precision("gpu") == expected
    assert native_precision("cpu") != expected
