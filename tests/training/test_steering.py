import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from nst_lightning.errors import InputError
from nst_lightning.training.steering import (
    CONTROL_NAME,
    LIVE_NAME,
    MOST_BYTES,
    MOST_STEPS,
    Steering,
    SteeringStep,
    read_live,
    read_steering,
    take_control,
    write_control,
    write_steering,
)

CHANGE = Steering(True, 5, {"style": 2000.0}, 0.7, (1.0, 2.0))


def test_change_is_read_as_it_is_written() -> None:
    assert Steering.parse(CHANGE.to_dict()) == CHANGE
    assert Steering.parse(json.loads(json.dumps(CHANGE.to_dict()))) == CHANGE
    assert Steering.parse({}) == Steering()
    assert Steering.parse({"weights": {"style": 2}}).weights == {"style": 2.0}


def test_change_is_true_if_anything_changes() -> None:
    assert CHANGE
    assert Steering(strength=0.0)
    assert not Steering()
    assert Steering(strength=0.0).changes_objective
    assert not Steering(stop=True, more_steps=3).changes_objective


def test_merged_change_has_the_later_values() -> None:
    later = Steering(False, 2, {"content": 1.0, "style": 3.0}, None, (0.0, 1.0))
    assert CHANGE.merge(later) == Steering(True, 7, {"style": 3.0, "content": 1.0}, 0.7, (0.0, 1.0))
    assert CHANGE.merge(Steering()) == Steering().merge(CHANGE) == CHANGE
    assert CHANGE.merge(Steering(more_steps=MOST_STEPS)).more_steps == MOST_STEPS


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        "stop",
        {"pid": 1},
        {1: 2},
        {"stop": 1},
        {"stop": None},
        {"more_steps": True},
        {"more_steps": -1},
        {"more_steps": MOST_STEPS + 1},
        {"more_steps": 10**5000},
        {"weights": None},
        {"weights": {"style": None}},
        {"weights": {"style": [1]}},
        {"weights": {"style": float("nan")}},
        {"weights": {"style": float("inf")}},
        {"weights": {"style": -1e-300}},
        {"weights": {"style": 10**400}},
        {"weights": {"style": False}},
        {"strength": "0.5"},
        {"strength": -0.1},
        {"strength": 1.01},
        {"style_weights": {}},
        {"style_weights": [1, -1]},
        {"style_weights": [1e308, 1e308]},
    ],
)
def test_change_is_refused_in_one_printable_line(values: Any) -> None:
    with pytest.raises(InputError, match=r"^Expected") as caught:
        Steering.parse(values)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_change_is_checked_against_a_run() -> None:
    CHANGE.check(["content", "style"], 2)
    with pytest.raises(InputError, match="terms content, smooth, but got style"):
        CHANGE.check(["content", "smooth"], 2)
    with pytest.raises(InputError, match="each of the 3 styles"):
        CHANGE.check(["style"], 3)


def test_control_is_taken_once(tmp_path: Path) -> None:
    assert take_control(tmp_path) is None
    write_control(tmp_path, CHANGE)
    assert [path.name for path in tmp_path.iterdir()] == [CONTROL_NAME]
    assert take_control(tmp_path) == CHANGE
    assert take_control(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_control_that_waits_stays_in_effect(tmp_path: Path) -> None:
    write_control(tmp_path, Steering(more_steps=2, weights={"style": 1.0}))
    write_control(tmp_path, Steering(more_steps=3, strength=0.2))
    assert take_control(tmp_path) == Steering(False, 5, {"style": 1.0}, 0.2)
    (tmp_path / CONTROL_NAME).write_text("{")
    write_control(tmp_path, CHANGE)
    assert take_control(tmp_path) == CHANGE


def test_control_that_waits_is_kept_if_the_next_one_finds_the_disk_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]
    write = Path.write_bytes

    def fail_once(path: Path, content: bytes) -> int:
        if failures:
            raise failures.pop()
        return write(path, content)

    write_control(tmp_path, CHANGE)
    monkeypatch.setattr(Path, "write_bytes", fail_once)
    with pytest.raises(InputError, match="No space left on device: free some disk space"):
        write_control(tmp_path, Steering(strength=0.2))
    assert [path.name for path in tmp_path.iterdir()] == [CONTROL_NAME]
    assert take_control(tmp_path) == CHANGE


@pytest.mark.parametrize("kind", ["folder", "link", "broken link", "pipe"])
def test_control_that_is_no_file_is_removed(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / CONTROL_NAME, tmp_path / "other.json"
    if kind == "folder":
        (path / "inside").mkdir(parents=True)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(other)
    if kind == "link":
        other.write_text('{"stop": true}')
    with pytest.raises(InputError, match="to be a file"):
        take_control(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == (["other.json"] if kind == "link" else [])


def test_control_of_the_largest_size_is_read(tmp_path: Path) -> None:
    text = '{"stop": true}'
    (tmp_path / CONTROL_NAME).write_text(text.ljust(MOST_BYTES))
    assert take_control(tmp_path) == Steering(stop=True)
    (tmp_path / CONTROL_NAME).write_text(text.ljust(MOST_BYTES + 1))
    with pytest.raises(InputError, match="at most 64 KiB"):
        take_control(tmp_path)


def test_live_is_none_unless_it_is_a_mapping(tmp_path: Path) -> None:
    assert read_live(tmp_path) is None
    for text, expected in (("[1]", None), ("{", None), ("[" * 5000, None), ('{"pid": 1}', {"pid": 1})):
        (tmp_path / LIVE_NAME).write_text(text)
        assert read_live(tmp_path) == expected


def test_recorded_changes_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "steering.yaml"
    entries = [SteeringStep(3, Steering(weights={"style": 1e22 / 3})), SteeringStep(3, CHANGE), SteeringStep(9, CHANGE)]
    write_steering(path, entries)
    assert read_steering(path) == entries
    write_steering(path, entries[::-1])
    assert [entry.step for entry in read_steering(path)] == [3, 3, 9]
    path.write_text("")
    assert read_steering(path) == []
    assert stat.S_ISREG(path.stat().st_mode)


def test_recorded_changes_that_expand_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "steering.yaml"
    lines = ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match="list of changes"):
        read_steering(path)
