"""Writes that fail halfway: the file is named, the old one is kept, and no other is left."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import run_stage_alone
from support.files import contents

from severstal.artifacts import write_json
from severstal.errors import InputError
from severstal.models import weights
from severstal.synthetic import strip
from severstal.training.checkpoint import CheckpointWriter


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A limit on the size of files fails as a full disk does: in the middle of a write. Python ignores SIGXFSZ.

    Python 3.11 would keep a part of a module that it compiles meanwhile, and never import that again.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = before


def write_checkpoint(file: Path) -> None:
    with CheckpointWriter(file) as writer:
        writer.save({"layer": torch.zeros(10_000)})


@pytest.mark.parametrize(
    "write",
    [
        lambda file: write_json(file, {"numbers": list(range(5000))}),
        lambda file: weights.save(file, {"layer": torch.zeros(10_000)}, {}),
        write_checkpoint,
    ],
    ids=["JSON", "weights", "checkpoint"],
)
def test_a_write_that_fails_names_its_file_and_keeps_the_old_one(tmp_path, write) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises((InputError, OSError)) as error, files_up_to(5000):
        write(file)
    assert str(file) in str(error.value)
    assert contents(tmp_path) == {file: b"old"}


def test_a_synthetic_strip_that_cannot_be_written_says_why(tmp_path) -> None:
    file = tmp_path / "strip.jpg"
    generators = {"appearance": np.random.default_rng(0), "labeller": np.random.default_rng(1)}
    with pytest.raises(OSError, match="File too large") as error, files_up_to(5000):
        strip.save(file, classes=(3,), **generators)
    assert error.value.filename == str(file)


def test_a_stage_on_a_full_disk_ends_with_a_message(tiny, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # see files_up_to

    def limit_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    tiny.folds_csv.unlink()
    stage = run_stage_alone("make_folds", tiny, check=False, preexec_fn=limit_files)
    assert stage.returncode == 2
    assert "Traceback" not in stage.stderr
    assert f"error: {tiny.folds_csv}: File too large" in stage.stderr
    assert not tiny.folds_csv.exists()
    assert {file.name for file in tiny.folds.iterdir()} == {"recipe.json"}
