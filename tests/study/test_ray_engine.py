"""Runs on the workers of a Ray cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from nst_lightning.images.io import read_image
from tests.study.studies import ROOT, create_section, read_results, run_study, write_study


def start() -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "nst_lightning", "study", "--config=study.yaml", "--output=out", "--engine=ray"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def painters(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The workers that paint."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if child.name().startswith("ray::_paint_on_worker") or "ray::_paint_on_worker" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def wait_for_checkpoints(process: subprocess.Popen[str], runs: int) -> None:
    for _ in range(1200):
        if len(list(Path("out").glob("runs/*/checkpoints/last.ckpt"))) >= runs:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("nothing was painted in two minutes")


def test_ray_resumes_the_run_of_a_killed_worker_and_repeats_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load(Path(create_section()["config"]).read_text()) | {"checkpoints": {"every_n_steps": 10}}
    (tmp_path / "often.yaml").write_text(yaml.safe_dump(config))
    plan = {"content": "content.png", "style": "style.png", "plan": {"size": 40, "steps": 300}}
    weights = {"model.losses.style.weight": [1, 10, 100, "1e3"]}
    write_study(tmp_path, create_section(config="often.yaml", data=plan, axes=weights))
    process = start()
    try:
        wait_for_checkpoints(process, 2)
        victims = painters(process)
        assert victims
        os.kill(victims[0].pid, signal.SIGKILL)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert out.count(": 300 steps") == 4
    lines = read_results()
    assert [line["state"] for line in lines] == ["done"] * 4
    # One was begun twice and went on in the middle; the clock of each is that of all its steps.
    assert sorted(line["starts"] for line in lines) == ["1", "1", "1", "2"]
    assert run_study(output="alone") == 0
    for folder in Path("alone/runs").iterdir():
        alone, sent = (read_image(Path(o, "runs", folder.name, "stylized.png")).image for o in ("alone", "out"))
        assert torch.equal(alone, sent)


def test_ray_rejects_an_unreachable_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path, create_section())
    assert run_study("--engine=ray", "--ray.address=127.0.0.1:1") == 1
    assert "Expected a Ray cluster at 127.0.0.1:1" in capsys.readouterr().err
