"""Loader processes: where they cannot be started, strips are loaded all the same."""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
import shutil

import pytest
import torch
from support.training import job

from severstal.errors import InputError
from severstal.training import loaders
from severstal.training.distributed import Distributed
from severstal.training.loaders import build_loaders, check_memory, usable_num_workers


def test_a_daemonic_process_loads_without_loader_processes_and_says_so(tiny, monkeypatch, caplog) -> None:
    """A worker of Dask is one by default: it is not allowed to have children."""
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    training = job(tiny, {"num_workers": 1})
    with caplog.at_level(logging.WARNING, "severstal"):
        built = build_loaders(training.member, training.data, training.recipe, Distributed(0, 1, torch.device("cpu")))
    crops, _ = next(iter(built.training))
    assert crops.shape == (4, 1, 64, 64)
    assert "DASK_DISTRIBUTED__WORKER__DAEMON=False" in caplog.text


@pytest.mark.parametrize(("requested", "expected"), [(0, 0), (3, 3)])
def test_other_processes_start_as_many_as_requested(requested: int, expected: int) -> None:
    assert usable_num_workers(requested, 1, 1000) == expected


@pytest.mark.parametrize(("free", "expected"), [(10 << 20, 3), (5 << 20, 1), (0, 0)])
def test_no_more_loader_processes_start_than_the_shared_memory_holds_batches_of(
    monkeypatch, caplog, free: int, expected: int
) -> None:
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr("severstal.training.loaders.shutil.disk_usage", lambda _: usage)
    assert usable_num_workers(3, 1, 1 << 20) == expected
    assert ("--shm-size" in caplog.text) == (expected < 3)


def test_strips_that_cannot_fit_into_the_memory_are_refused_before_the_training(tiny, monkeypatch) -> None:
    monkeypatch.setattr("severstal.training.loaders.memory_bytes", lambda: 10**9)
    training = job(tiny, {"eval_batch_size": 1})
    check_memory(training.member, training.data, training.recipe)
    huge = dataclasses.replace(training.data, height=4096, width=16384)
    with pytest.raises(InputError, match=r"1 strips of 4096x16384 at a time take more than 4 GB.*--downscale"):
        check_memory(training.member, huge, training.recipe)
    check_memory(training.member, huge, training.recipe.model_copy(update={"downscale": 4}))


def test_networks_that_are_trained_side_by_side_share_the_cores(monkeypatch) -> None:
    monkeypatch.setattr(loaders, "core_count", lambda: 32)
    monkeypatch.setattr(loaders.torch, "get_num_threads", lambda: 4)
    assert [usable_num_workers(-1, num_processes, 1000) for num_processes in (1, 4, 8, 64)] == [8, 7, 3, 1]
