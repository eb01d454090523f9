"""GPUs are claimed by one process each and released when it ends."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from severstal.training import gpu_lock
from severstal.training.gpu_lock import claim_gpu


class Claim(NamedTuple):
    process: BaseProcess
    first: int | None
    second: int | None
    visible: str | None


def claim_twice(folder: Path, answer: Connection) -> None:
    gpu_lock.gpu_count = lambda: 2
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    answer.send((claim_gpu(folder), claim_gpu(folder), os.environ.get("CUDA_VISIBLE_DEVICES")))
    answer.recv()  # until it is killed


def start(folder: Path) -> Claim:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=claim_twice, args=(folder, theirs), daemon=True)
    process.start()
    return Claim(process, *ours.recv())


def end(claim: Claim) -> None:
    claim.process.kill()
    claim.process.join()


def test_processes_take_a_gpu_each_and_release_it_when_they_end(tmp_path) -> None:
    claims = [start(tmp_path) for _ in range(3)]
    assert [claim.first for claim in claims] == [0, 1, None]
    assert [claim.visible for claim in claims] == ["0", "1", None]
    assert all(claim.second is None for claim in claims), "a process keeps the GPU that it has"
    end(claims[1])
    later = start(tmp_path)
    assert later.first == 1
    for claim in (claims[0], claims[2], later):
        end(claim)


def test_a_gpu_that_was_chosen_already_is_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(gpu_lock, "gpu_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert claim_gpu(tmp_path) is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
