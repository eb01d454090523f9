"""Where jobs run: side by side here, on a real Dask cluster of two workers; what fails, and what it leaves alone."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import ROOT, arguments_of, run_stage_alone
from support.training import ENCODER, job

from severstal.errors import InputError
from severstal.training import launcher
from severstal.training.gpu_lock import claim_gpu
from severstal.training.job import Job
from severstal.training.launcher import Launcher, default_concurrency

SHORT = ("--epochs", "1")


@pytest.fixture
def said() -> list[str]:
    return []


def break_once(self: Job, **_: object) -> str:
    """A job that fails in its first attempt."""
    mark = self.member.paths.folds / "broken"
    if self.member.fold == 1 and not mark.exists():
        mark.touch()
        raise RuntimeError("the disk hiccuped")
    return f"{self.member.name}: done"


def break_always(self: Job, **_: object) -> str:
    if self.member.fold == 1:
        raise RuntimeError("no such luck")
    return f"{self.member.name}: done"


def test_a_job_that_fails_once_is_tried_again(tiny, said, monkeypatch) -> None:
    monkeypatch.setattr(Job, "run", break_once)
    Launcher("local", None, 1).run([job(tiny), job(tiny, fold=1)], said.append)
    assert [line for line in said if "done" in line] == [f"{ENCODER} fold 0: done", f"{ENCODER} fold 1: done"]
    assert any("fold 1 failed: RuntimeError: the disk hiccuped" in line for line in said)


def test_a_job_that_fails_twice_is_named_when_the_others_are_done(tiny, said, monkeypatch) -> None:
    monkeypatch.setattr(Job, "run", break_always)
    with pytest.raises(InputError, match=r"1 of 2 networks.*fold 1: RuntimeError: no such luck"):
        Launcher("local", None, 1).run([job(tiny, fold=1), job(tiny)], said.append)
    assert f"{ENCODER} fold 0: done" in said


SABOTAGED = """
import os, signal
from severstal.training.job import Job

class Sabotaged(Job):
    def run(self, **options):
        mark = self.member.paths.folds / "killed"
        if self.member.fold == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Job.run(self, **options)
"""


@pytest.mark.slow
def test_two_networks_train_side_by_side_and_a_killed_one_goes_on(tiny) -> None:
    """A process that is killed takes its pool along; the second attempt ends both."""
    (tiny.folds / "sabotaged.py").write_text(SABOTAGED)
    launch = (
        "import runpy, sys, sabotaged\n"
        "import severstal.training.job\n"
        "severstal.training.job.Job = sabotaged.Sabotaged\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    path = os.pathsep.join([str(ROOT / "src"), str(tiny.folds)])
    done = subprocess.run(
        [sys.executable, "-c", launch, str(ROOT / "src/train.py"), *arguments_of(tiny), *SHORT, "--jobs", "2"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a training process was killed" in done.stdout
    assert all(tiny.fold(ENCODER, fold).weights.exists() for fold in (0, 1))


@pytest.mark.slow
def test_a_dask_cluster_of_two_workers_trains_what_this_machine_does(tiny, monkeypatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))  # as on the machines of a cluster
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, resources={"GPU": 1}
    ) as cluster:
        done = run_stage_alone("train", tiny, *SHORT, "--backend", "dask", "--address", cluster.scheduler_address)
        with distributed.Client(cluster) as client:
            logs = str(client.get_worker_logs())
    assert done.stdout.count(": Dice") == 2, done.stdout
    assert "wrote" in done.stdout
    assert all(tiny.fold(ENCODER, fold).oof.exists() for fold in (0, 1))
    assert "Traceback" not in logs


@pytest.mark.slow
def test_a_ray_cluster_of_two_workers_trains_what_this_machine_does(tiny, monkeypatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))  # as on the machines of a cluster
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    address = ray.init(address="local", num_cpus=2, include_dashboard=False).address_info["gcs_address"]
    try:
        done = run_stage_alone("train", tiny, *SHORT, "--backend", "ray", "--address", address)
    finally:
        ray.shutdown()
    assert done.stdout.count("epoch 1 of 1") == 2, done.stdout
    assert all(tiny.fold(ENCODER, fold).oof.exists() for fold in (0, 1))


def test_a_cluster_that_is_not_there_is_an_error_with_its_address(tiny) -> None:
    done = run_stage_alone("train", tiny, *SHORT, "--backend", "dask", check=False)
    assert (done.returncode, "--address" in done.stderr) == (2, True)
    done = run_stage_alone("train", tiny, *SHORT, "--backend", "dask", "--address", "tcp://127.0.0.1:9", check=False)
    assert done.returncode == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr


def test_a_worker_that_does_not_see_the_folders_says_which(tiny, tmp_path) -> None:
    made = job(tiny)
    tiny.input.rename(tmp_path / "elsewhere")
    outcome = launcher.run_job(made, alone=True)
    assert f"sees no {tiny.input}" in outcome.error
    assert "shared disk" in outcome.error


# -- GPUs ------------------------------------------------------------------------------------------


def claim(folder: Path, answer) -> None:
    launcher.gpu_count = lambda: 2
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    answer.send((claim_gpu(folder), claim_gpu(folder), os.environ.get("CUDA_VISIBLE_DEVICES")))
    answer.recv()  # until it is killed


def test_processes_take_a_gpu_each_and_give_it_back_when_they_end(tmp_path) -> None:
    context = multiprocessing.get_context("fork")

    def started() -> tuple:
        ours, theirs = context.Pipe()
        process = context.Process(target=claim, args=(tmp_path, theirs), daemon=True)
        process.start()
        assert ours.poll(30)
        return process, *ours.recv()

    made = [started() for _ in range(3)]
    assert [first for _, first, _, _ in made] == [0, 1, None]
    assert all(again is None for _, _, again, _ in made), "a process keeps the one it has"
    assert [visible for _, _, _, visible in made] == ["0", "1", None]
    made[1][0].kill()
    made[1][0].join()
    last = started()
    assert last[1] == 1
    for process in (made[0][0], made[2][0], last[0]):
        process.kill()
        process.join()


def test_a_gpu_that_was_chosen_already_is_left_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(launcher, "gpu_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert claim_gpu(tmp_path) is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


def test_how_many_train_at_once(monkeypatch) -> None:
    monkeypatch.setattr(launcher, "gpu_count", lambda: 0)
    monkeypatch.setattr(launcher.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(launcher, "_memory_bytes", lambda: 64 << 30)
    assert [default_concurrency(None, left) for left in (0, 1, 4, 20)] == [1, 1, 4, 8]
    assert default_concurrency(2, 20) == 2
    monkeypatch.setattr(launcher, "_memory_bytes", lambda: 10 << 30)
    assert default_concurrency(None, 20) == 2
    monkeypatch.setattr(launcher, "gpu_count", lambda: 4)
    assert default_concurrency(None, 20) == 4
    with pytest.raises(InputError, match="--jobs 0"):
        default_concurrency(0, 3)
