"""GPUs are claimed by one process each and released when it ends."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import pytest
from support.nvidia_smi import T4_FIRST, T4_SECOND, forget_gpus, install_nvidia_smi

from severstal.training.gpu_lock import claim_gpu


class Claim(NamedTuple):
    process: BaseProcess
    first: str | None
    second: str | None
    visible: str | None


def claim_twice(folder: Path, answer: Connection) -> None:
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


@pytest.fixture(autouse=True)
def three_gpus(tmp_path, monkeypatch) -> Iterator[None]:
    install_nvidia_smi(tmp_path, monkeypatch)
    yield
    forget_gpus()


def test_processes_take_a_visible_gpu_each_and_release_it_when_they_end(tmp_path, monkeypatch) -> None:
    """The first GPU belongs to somebody else: two of three are visible, in an order of the machine's owner."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    claims = [start(tmp_path) for _ in range(3)]
    assert [claim.first for claim in claims] == [T4_SECOND, T4_FIRST, None]
    assert [claim.visible for claim in claims] == [T4_SECOND, T4_FIRST, "2,1"]
    assert all(claim.second is None for claim in claims), "a process keeps the GPU that it has"
    end(claims[1])
    later = start(tmp_path)
    assert later.first == T4_FIRST
    for claim in (claims[0], claims[2], later):
        end(claim)


@pytest.mark.parametrize("visible", ["2", ""])
def test_where_at_most_one_gpu_is_visible_nothing_is_claimed(tmp_path, monkeypatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert claim_gpu(tmp_path) is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible


def test_another_users_lock_that_may_not_be_read_is_that_of_a_gpu_in_use(tmp_path, monkeypatch) -> None:
    opened = Path.open

    def deny(path: Path, *options: str) -> object:
        if T4_FIRST in path.name:
            raise PermissionError(path)
        return opened(path, *options)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    monkeypatch.setattr(Path, "open", deny)
    claim = start(tmp_path)
    assert claim.first == T4_SECOND
    end(claim)
