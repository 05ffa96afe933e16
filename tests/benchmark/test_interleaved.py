import pytest

from nst_lightning.benchmark.ceiling import measure_ceiling
from nst_lightning.benchmark.interleaved import list_kinds
from nst_lightning.system.precision import PRECISIONS, Precision


@pytest.mark.parametrize("precisions", [PRECISIONS, PRECISIONS[:1]])
def test_benchmark_measures_only_native_precisions(precisions: tuple[Precision, ...]) -> None:
    kinds = list(list_kinds(precisions, quick=False))
    ours = [kind for kind in kinds if kind.task == "step"]
    assert {kind.precision for kind in ours} == set(precisions)
    assert len(ours) == 2 * 2 * len(precisions) + 2
    assert {kind.precision for kind in ours if not kind.is_comparable} == {precisions[-1]}
    rows = measure_ceiling("cpu", True, precisions)
    assert {row["precision"] for row in rows} == set(precisions)
