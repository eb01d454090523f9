"""Runs that take long to write: one of pytest's processes writes each, and every process works on a copy of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def built_once(factory: pytest.TempPathFactory, name: str, write: Callable[[Path], object]) -> Path:
    """A copy of the folder that ``write`` fills, called by the first process of the session that asks for ``name``."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    built = shared / name
    with FileLock(f"{built}.lock"):
        if not built.exists():
            unfinished = shared / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)  # of a process that failed to write it
            unfinished.mkdir()
            write(unfinished)
            unfinished.rename(built)
    return shutil.copytree(built, factory.mktemp(name) / "copy")
