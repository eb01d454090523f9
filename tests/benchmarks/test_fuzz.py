"""The fuzz run: damaged files of every quick kind end well, and it sees what does not."""

from __future__ import annotations

import shutil
import time

import pytest

from benchmarks.soak import fuzz
from benchmarks.soak.fuzzed_files import KINDS, TrainCsv
from severstal.paths import Paths

QUICK = ("train.csv", "JPEG", "PNG", "BMP", "TIFF", "recipe", "config.json", "postprocess.json")


@pytest.fixture
def experiment(exported, tmp_path) -> Paths:
    for folder in (exported.input, exported.folds):
        shutil.copytree(folder, tmp_path / folder.name)
    return Paths(tmp_path / exported.input.name, tmp_path / exported.folds.name, tmp_path / "submissions")


@pytest.mark.parametrize("name", QUICK)
def test_damaged_files_are_refused_in_one_line_or_read_rightly(experiment, name) -> None:
    assert list(fuzz.fuzz(experiment, name, seed=1, inputs=50)) == []


@pytest.mark.parametrize(
    ("read", "problem"),
    [
        (lambda file: {}, "input 0: accepted, but pandas reads other labels"),
        (lambda file: [][0], "input 0: IndexError"),
        (lambda file: bytearray(3 << 30) and {}, "input 0: MemoryError"),
        (lambda file: time.sleep(9), "input 0: no end after 1 s"),
    ],
    ids=["wrong", "traceback", "memory", "hang"],
)
def test_a_faulty_reader_is_seen(experiment, monkeypatch, read, problem) -> None:
    monkeypatch.setattr(fuzz, "MAX_SECONDS", 1)
    monkeypatch.setitem(KINDS, "faulty", type("Faulty", (TrainCsv,), {"read": read}))
    assert problem in next(fuzz.fuzz(experiment, "faulty", seed=0))
