"""Configurations and studies in YAML that cannot be used."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.robustness.refusals import assert_refused

# Nine levels of nine references: 9^9 values if they were copied.
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9)
)
CONFIGS: dict[str, str | bytes] = {
    "tab": "data:\n\tplan:\n\t\tsize: 32\n",
    "laughs": LAUGHS,
    "laughs in a value": LAUGHS.replace("\n", "\n  ").join(["data:\n  plan:\n    size: 32\nmore:\n  ", "\n"]),
    "laughs in an option": LAUGHS + "data: {style: *a8}\n",
    "unknown key": "data: {plan: {sice: 32}}\n",
    "unknown section": "picture: {size: 3}\n",
    "list": "- data\n",
    "number": "3\n",
    "text": "just words\n",
    "two documents": "data: {}\n---\nmodel: {}\n",
    "unclosed": "data: {plan: [\n",
    "python object": "data: !!python/object/apply:os.system ['touch hacked']\n",
    "unknown tag": "data: !custom {}\n",
    "no loss": "model: {losses: {style: {class_path: os.system, init_args: {command: touch hacked}}}}\n",
    "another kind": "model: {losses: {style: {class_path: nst_lightning.SlimVGG19}}}\n",
    "function as backbone": "model: {backbone: {class_path: os.getcwd}}\n",
    "module as optimizer": "model: {optimizer: {class_path: os}}\n",
    "callback that is none": (
        "trainer: {callbacks: [{class_path: subprocess.Popen, init_args: {args: [touch, hacked]}}]}\n"
    ),
    "missing class": "model: {backbone: {class_path: nowhere.Net}}\n",
    "no class": "model: {losses: {style: {init_args: {weight: 1}}, new: {init_args: {weight: 1}}}}\n",
    "not UTF-8": b"data: {content: \xff\xfe.png}\n",
    "NUL": b'data: {content: "a\\0b.png"}\n',
    "deep": "[" * 100_000,
    "date as size": "data: {plan: {size: 2020-01-01}}\n",
    "NaN as size": "data: {plan: {size: .nan}}\n",
    "huge number": f"data: {{plan: {{size: {'9' * 5000}}}}}\n",
    "number as group": "data: 2147483648\n",
    "null as group": "trainer: null\n",
    "infinity as group": "snapshots: -.inf\n",
    "null as plan": "data: {plan: null}\n",
    "null as size": "data: {plan: {size: null}}\n",
    "null as ladder": "data: {plan: {ladder: null}}\n",
    "null as strength": "model: {strength: null}\n",
    "null as initialization": "model: {initialization: null}\n",
    "null as threads": "threads: null\n",
    "null as frame": "data: {first: null}\n",
    "null as list": "snapshots: {at_steps: null}\n",
    "contains itself": "data: &data {style: [*data]}\n",
}


def write(name: str) -> None:
    content = CONFIGS[name]
    Path("bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("name", CONFIGS)
def test_configuration_is_refused(refuse: Callable[..., str], name: str) -> None:
    write(name)
    line = refuse(["--config=bad.yaml"])
    assert len(line) < 2000
    assert not Path("hacked").exists()


@pytest.mark.parametrize("name", CONFIGS)
def test_study_is_refused(name: str, empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(name)
    line = assert_refused(capsys, ["study", "--config=bad.yaml"])
    assert len(line) < 2000
    assert not Path("hacked").exists()


STUDIES = {
    "no config": "sections: [{title: A}]",
    "laughs as axis": LAUGHS + "sections: [{title: A, config: transfer, axes: {seed_everything: *a8}}]",
    "NaN seed": "sections: [{title: A, config: transfer, axes: {seed_everything: [.nan]}}]",
    "axis without values": "sections: [{title: A, config: transfer, axes: {seed_everything: []}}]",
    "class that is no loss": (
        "sections: [{title: A, config: transfer, model: {losses: {style: {class_path: os.system}}}}]"
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_section_is_refused(name: str, empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text(STUDIES[name])
    assert_refused(capsys, ["study", "--config=bad.yaml"])


REPLAYS = {
    "laughs": LAUGHS,
    "laughs in a step": LAUGHS + "\n",
    "python object": "!!python/object/apply:os.system ['touch hacked']",
    "NaN weight": "- {step: 1, weights: {style: .nan}}",
    "unknown term": "- {step: 1, weights: {nothing: 1}}",
    "negative step": "- {step: -1, strength: 0.5}",
    "huge": "- {step: 1}\n" * 200_000,
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("name", REPLAYS)
def test_replay_is_refused(refuse: Callable[..., str], name: str) -> None:
    Path("changes.yaml").write_text(REPLAYS[name])
    refuse(["--replay=changes.yaml"])
    assert os.listdir().count("hacked") == 0
