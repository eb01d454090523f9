"""A training that any of its writes stopped ends with the bytes of one that nothing stopped."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from support.commands import run_stage_in_process
from support.training import ENCODER, SHARED_VALUES, interrupt, job
from support.untrained_folds import write_untrained_folds

from severstal import artifacts
from severstal.models import inference_graph
from severstal.paths import Paths
from severstal.training import launcher, threads
from severstal.training.job import Job
from severstal.training.launcher import Launcher, run_job
from severstal.training.trainer import Trainer

MANY = 20  # more files than are written
TEMPORARY = re.compile(r"\.(.+)\.\d+")


class FillingDisk:
    """Fails the sync of each file once, in every version that the training writes of it.

    Attributes:
        refused: names of the files, in order.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []
        self._versions: set[tuple[str, int]] = set()
        self._sync = os.fsync

    def __call__(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        name = TEMPORARY.fullmatch(path.name)[1]
        # Seconds stand in the log, so its versions are known by their lines; others by their size.
        version = (name, path.read_bytes().count(b"\n") if name == "log.jsonl" else path.stat().st_size)
        if version not in self._versions:
            self._versions.add(version)
            self.refused.append(name)
            raise OSError(errno.ENOSPC, "No space left on device")
        self._sync(descriptor)


def test_a_training_that_each_of_its_writes_stopped_ends_with_the_same_bytes(trained, tiny, monkeypatch) -> None:
    disk, messages = FillingDisk(), []
    monkeypatch.setattr(artifacts.os, "fsync", disk)
    while (outcome := run_job(job(tiny, SHARED_VALUES), 1)).error and len(messages) < MANY:
        messages.append(outcome.error)
    written = ["config.json", "checkpoint.pt", "log.jsonl", "weights.safetensors", "oof.npz"]
    assert set(disk.refused) == {*written, next((tiny.folds / "cache").glob("*.grey")).name}
    assert disk.refused.count("checkpoint.pt") >= trained.job.recipe.epochs
    assert len(messages) <= len(disk.refused) < MANY
    assert all("No space left on device" in message for message in messages)
    files = [tiny.fold(ENCODER, 0), trained.job.member.files]
    for name in ("weights", "oof"):
        found, expected = (getattr(of_run, name).read_bytes() for of_run in files)
        assert found == expected, f"{name} differs"
    found, expected = ({file.name for file in of_run.folder.iterdir()} for of_run in files)
    assert found == expected


def test_a_checkpoint_that_was_left_beside_the_weights_goes(tiny) -> None:
    """A run may be killed between the two."""
    done = write_untrained_folds(tiny)
    files = done.member.files
    files.checkpoint.touch()
    files.oof.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference_graph, "load_inference_graph", stop)
        with pytest.raises(KeyboardInterrupt):
            job(tiny).run()
    assert not files.checkpoint.exists()


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def chosen_threads(paths: Paths, *arguments: str) -> int | None:
    """Threads of each network that ``train`` with these arguments asks for on four cores."""
    asked: list[int | None] = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (launcher, threads):
            patch.setattr(module, "core_count", lambda: 4)
            patch.setattr(module, "gpu_count", lambda: 0)
        patch.setattr(launcher, "memory_bytes", lambda: 64 << 30)
        patch.delenv("OMP_NUM_THREADS", raising=False)
        patch.setattr(Launcher, "run", lambda self, *_: asked.append(self.num_threads))
        run_stage_in_process("train", paths, *arguments)
    return asked[0]


def test_a_network_that_is_left_computes_on_as_many_cores_as_beside_the_others(tiny) -> None:
    """With another number of threads its weights would be others."""
    together = chosen_threads(tiny)
    write_untrained_folds(tiny)
    shutil.rmtree(tiny.fold(ENCODER, 1).folder)
    assert chosen_threads(tiny) == together == 2
    assert chosen_threads(tiny, "--jobs", "1") is None  # torch's own number, for all cores
    assert chosen_threads(tiny, ENCODER, "1") is None


def test_a_resumed_network_keeps_the_threads_of_its_start_and_the_next_one_has_its_own(tiny, monkeypatch) -> None:
    threads_now, seen = [1], []
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads_now[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads_now.append)
    interrupt(job(tiny, SHARED_VALUES), epoch=2, num_threads=3)
    monkeypatch.setattr(Trainer, "run", lambda _: seen.append(torch.get_num_threads()))
    monkeypatch.setattr(Job, "_predict", lambda *_: None)
    monkeypatch.setattr(Job, "_summary", lambda _: "")
    for fold in (0, 1):
        assert run_job(job(tiny, SHARED_VALUES, fold), 1, 2).error is None
    assert seen == [3, 2]
    assert threads_now[-1] == 1
