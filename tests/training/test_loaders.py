"""Loader processes: where they cannot be started, strips are loaded all the same."""

from __future__ import annotations

import logging
import multiprocessing
import shutil

import pytest
import torch
from support.training import job

from severstal.training.distributed import Distributed
from severstal.training.loaders import build_loaders, usable_num_workers


def test_a_daemonic_process_loads_without_loader_processes_and_says_so(tiny, monkeypatch, caplog) -> None:
    """A worker of Dask is one by default: it is not allowed to have children."""
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    training = job(tiny, {"num_workers": 1})
    with caplog.at_level(logging.WARNING, "severstal"):
        loaders = build_loaders(training.member, training.data, training.recipe, Distributed(0, 1, torch.device("cpu")))
    crops, _ = next(iter(loaders.training))
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
