"""The loader of strips: batches as torch gives them, and errors as the dataset raises them."""

from __future__ import annotations

import multiprocessing
import threading

import joblib  # noqa: F401  # registers its start method
import numpy as np
import pytest
import torch

from severstal.errors import InputError
from severstal.training.strip_loader import StripLoader


class Strips(torch.utils.data.Dataset):
    """Three strips, of which the last is damaged where ``damaged`` is set."""

    def __init__(self, damaged: bool) -> None:
        self._damaged = damaged

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> np.ndarray:
        if self._damaged and index == 2:
            raise InputError("strip.jpg is cut short (12 bytes, no end of image): copy or download it again")
        return np.full((2, 3), index, dtype=np.uint8)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_strip_is_reported_in_one_line_whichever_process_reads_it(num_workers) -> None:
    with pytest.raises(InputError) as raised:
        list(StripLoader(Strips(damaged=True), batch_size=2, num_workers=num_workers))
    assert str(raised.value) == "strip.jpg is cut short (12 bytes, no end of image): copy or download it again"


def test_batches_are_those_of_a_plain_loader() -> None:
    loader = StripLoader(Strips(damaged=False), batch_size=2)
    assert len(loader) == 2
    first, second = loader
    assert first.tolist() == [[[0] * 3] * 2, [[1] * 3] * 2]
    assert second.shape == (1, 2, 3)


class Threads(torch.utils.data.Dataset):
    """One sample: whether the process that makes it watches the one that started it."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> int:
        return sum(thread.name == "end-with-parent" for thread in threading.enumerate())


def test_loader_processes_end_with_the_training() -> None:
    assert [batch.tolist() for batch in StripLoader(Threads(), num_workers=1)] == [[1]]


def test_trainings_side_by_side_may_start_loader_processes() -> None:
    """They run in processes of joblib, which changes how Python starts processes there."""
    usual = multiprocessing.get_start_method()
    multiprocessing.set_start_method("loky", force=True)
    try:
        assert len(list(StripLoader(Strips(damaged=False), batch_size=2, num_workers=1))) == 2
    finally:
        multiprocessing.set_start_method(usual, force=True)
