"""Launching several trainings: one that fails is tried again, is reported, and does not stop the others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.commands import ROOT, arguments_of
from support.training import ENCODER, job

from severstal.errors import InputError
from severstal.training import launcher
from severstal.training.job import Job
from severstal.training.launcher import Launcher, default_concurrency


@pytest.fixture
def lines() -> list[str]:
    """What the stage prints."""
    return []


def fail_once(self: Job, **_: object) -> str:
    """A job of which fold 1 fails in its first attempt."""
    mark = self.member.paths.folds / "failed"
    if self.member.fold == 1 and not mark.exists():
        mark.touch()
        raise RuntimeError("the disk hiccuped")
    return f"{self.member.name}: done"


def fail_always(self: Job, **_: object) -> str:
    if self.member.fold == 1:
        raise RuntimeError("no such luck")
    return f"{self.member.name}: done"


def test_a_training_that_fails_once_is_tried_again(tiny, lines, monkeypatch) -> None:
    monkeypatch.setattr(Job, "run", fail_once)
    Launcher("local", None, 1).run([job(tiny), job(tiny, fold=1)], lines.append)
    assert [line for line in lines if "done" in line] == [f"{ENCODER} fold 0: done", f"{ENCODER} fold 1: done"]
    assert any("fold 1 failed: RuntimeError: the disk hiccuped" in line for line in lines)


def test_a_training_that_fails_twice_is_named_after_the_others_are_done(tiny, lines, monkeypatch) -> None:
    monkeypatch.setattr(Job, "run", fail_always)
    with pytest.raises(InputError, match=r"1 of 2 networks.*the others are done.*fold 1: RuntimeError: no such luck"):
        Launcher("local", None, 1).run([job(tiny, fold=1), job(tiny)], lines.append)
    assert f"{ENCODER} fold 0: done" in lines


KILLS_ITSELF = """
import os, signal
from severstal.training.job import Job

class KillsItself(Job):
    def run(self, **options):
        mark = self.member.paths.folds / "killed"
        if self.member.fold == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Job.run(self, **options)
"""

TRAIN = """
import runpy, sys, kills_itself
import severstal.training.job
severstal.training.job.Job = kills_itself.KillsItself
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_two_networks_train_side_by_side_and_a_killed_one_goes_on(tiny) -> None:
    """A killed process ends the other one of its pool too; the second attempt finishes both."""
    (tiny.folds / "kills_itself.py").write_text(KILLS_ITSELF)
    options = [*arguments_of(tiny), "--epochs", "1", "--jobs", "2"]
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(ROOT / "src/train.py"), *options],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(tiny.folds)])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a training process was killed" in done.stdout
    assert "epoch 1/1" in done.stdout, "worker processes log to the console too"
    assert all(tiny.fold(ENCODER, fold).weights.exists() for fold in (0, 1))


def test_a_worker_that_does_not_see_the_folders_names_them(tiny, tmp_path) -> None:
    training = job(tiny)
    tiny.input.rename(tmp_path / "elsewhere")
    outcome = launcher.run_job(training, alone=True)
    assert f"sees no {tiny.input}" in (outcome.error or "")
    assert "shared disk" in (outcome.error or "")


def test_as_many_train_at_once_as_gpus_or_cores_and_memory_allow(monkeypatch) -> None:
    monkeypatch.setattr(launcher, "gpu_count", lambda: 0)
    monkeypatch.setattr(launcher.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(launcher, "_memory_bytes", lambda: 64 << 30)
    assert [default_concurrency(None, num_jobs) for num_jobs in (0, 1, 4, 20)] == [1, 1, 4, 8]
    assert default_concurrency(2, 20) == 2
    monkeypatch.setattr(launcher, "_memory_bytes", lambda: 10 << 30)
    assert default_concurrency(None, 20) == 2
    monkeypatch.setattr(launcher, "gpu_count", lambda: 4)
    assert default_concurrency(None, 20) == 4
    with pytest.raises(InputError, match="--jobs 0"):
        default_concurrency(0, 3)
