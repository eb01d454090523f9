"""Launching several trainings: one that fails is tried again, is reported, and does not stop the others."""

from __future__ import annotations

import errno
import os
import runpy
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from support.commands import ROOT
from support.training import ENCODER, job

from severstal.errors import InputError
from severstal.paths import Paths
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


@pytest.mark.parametrize(("concurrency", "planned", "is_said"), [(1, 4, True), (4, 4, False), (1, 1, False)])
def test_idle_cores_are_named_where_finished_networks_left_them(lines, concurrency, planned, is_said) -> None:
    stage = runpy.run_path(str(ROOT / "src" / "train.py"))
    stage["say_idle_cores"](SimpleNamespace(say=lines.append), Launcher("local", None, concurrency, 2), planned)
    assert [f"{concurrency} of the {planned} networks" in line for line in lines] == [True] * is_said


def test_a_training_that_fails_once_is_tried_again(tiny, lines, monkeypatch) -> None:
    monkeypatch.setattr(Job, "run", fail_once)
    Launcher("local", None, 1).run([job(tiny), job(tiny, fold=1)], lines.append)
    assert [line for line in lines if "done" in line] == [f"{ENCODER} fold 0: done", f"{ENCODER} fold 1: done"]
    assert any("fold 1 failed: RuntimeError: the disk hiccuped" in line for line in lines)


def test_a_training_that_only_a_person_can_mend_is_not_tried_again(tiny, lines, monkeypatch) -> None:
    def run(self: Job, **_: object) -> str:
        raise InputError("the loss is not finite") if self.member.fold else RuntimeError("no such luck")

    monkeypatch.setattr(Job, "run", run)
    with pytest.raises(InputError, match=r"2 of 2 networks .*fold 1: the loss is not finite; .*fold 0: RuntimeError"):
        Launcher("local", None, 1).run([job(tiny), job(tiny, fold=1)], lines.append)
    assert f"tried once more: {ENCODER} fold 0" in lines
    assert sum("fold 1 failed" in line for line in lines) == 1


def test_a_training_on_a_full_disk_names_the_file_without_a_traceback(tiny, monkeypatch, capsys) -> None:
    def run(_: Job, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", "folds/oof.npz")

    monkeypatch.setattr(Job, "run", run)
    assert launcher.run_job(job(tiny), 1).error == "folds/oof.npz: No space left on device"
    assert "Traceback" not in capsys.readouterr().err


def test_a_training_that_fails_twice_is_named_after_the_others_are_done(tiny, lines, monkeypatch) -> None:
    monkeypatch.setattr(Job, "run", fail_always)
    with pytest.raises(InputError, match=r"1 of 2 networks.*the others are done.*fold 1: RuntimeError: no such luck"):
        Launcher("local", None, 1).run([job(tiny, fold=1), job(tiny)], lines.append)
    assert f"{ENCODER} fold 0: done" in lines


JOBS = """
import logging, os, signal, time
from severstal.training.job import Job

class KillsItself(Job):
    def run(self, **options):
        mark = self.member.paths.folds / "killed"
        if self.member.fold == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        logging.getLogger("severstal.training").info(f"{self.member.name} in process {os.getpid()}")
        return f"{self.member.name}: done"

class NeverEnds(Job):
    def run(self, **options):
        print(f"{self.member.name} trains", flush=True)
        time.sleep(600)
"""

LAUNCH = """
import sys
from pathlib import Path
import jobs as kinds
from severstal import recipe
from severstal.data.training_set import read_training_set
from severstal.errors import run_stage
from severstal.experiment import all_members
from severstal.paths import Paths
from severstal.training.launcher import Launcher

kind = getattr(kinds, sys.argv[1])
paths = Paths(*map(Path, sys.argv[2:]))
chosen, data = recipe.read(paths), read_training_set(paths)
jobs = [kind.of(member, data, chosen, {}) for member in all_members(paths, chosen)]
run_stage(lambda: Launcher("local", None, 2).run(jobs, print))
"""


def launch(paths: Paths, kind: str) -> subprocess.Popen[str]:
    """A process that runs jobs of a kind, two at a time."""
    (paths.folds / "jobs.py").write_text(JOBS)
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, kind, paths.input, paths.folds, paths.submissions],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(paths.folds)])},
    )


def test_two_trainings_run_side_by_side_and_one_whose_process_is_killed_is_tried_again(tiny) -> None:
    """A killed process ends the other one of its pool too; the second attempt finishes what is left."""
    with launch(tiny, "KillsItself") as launcher_process:
        printed, _ = launcher_process.communicate()
    assert launcher_process.returncode == 0, printed
    assert "a training process was killed" in printed
    for fold in (0, 1):
        assert f"{ENCODER} fold {fold}: done" in printed
        assert f"   {ENCODER} fold {fold} in process" in printed, "worker processes log to the console too"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_no_training_goes_on_when_the_launcher_is_killed(tiny, number) -> None:
    with launch(tiny, "NeverEnds") as launcher_process:
        assert {launcher_process.stdout.readline() for _ in range(2)} == {
            f"{ENCODER} fold {fold} trains\n" for fold in (0, 1)
        }
        launcher_process.send_signal(number)
        launcher_process.stdout.read()  # until every process that has it has ended
    assert launcher_process.returncode == (143 if number == signal.SIGTERM else -number)


def test_a_worker_that_does_not_see_the_folders_names_them(tiny, tmp_path) -> None:
    training = job(tiny)
    tiny.input.rename(tmp_path / "elsewhere")
    outcome = launcher.run_job(training, 1)
    assert f"sees no {tiny.input}" in (outcome.error or "")
    assert "shared disk" in (outcome.error or "")


def test_as_many_train_at_once_as_gpus_or_cores_and_memory_allow(monkeypatch) -> None:
    monkeypatch.setattr(launcher, "gpu_count", lambda: 0)
    monkeypatch.setattr(launcher, "core_count", lambda: 8)
    monkeypatch.setattr(launcher, "memory_bytes", lambda: 64 << 30)
    assert [default_concurrency(None, num_jobs) for num_jobs in (0, 1, 4, 20)] == [1, 1, 4, 8]
    assert default_concurrency(2, 20) == 2
    monkeypatch.setattr(launcher, "memory_bytes", lambda: 10 << 30)
    assert default_concurrency(None, 20) == 2
    assert default_concurrency(None, 20, 1024 * 4096) == 1
    monkeypatch.setattr(launcher, "gpu_count", lambda: 4)
    assert default_concurrency(None, 20) == 4
    with pytest.raises(InputError, match="--jobs 0"):
        default_concurrency(0, 3)
