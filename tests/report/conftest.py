"""What the tests of the report share: a finished run and its report."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.built_once import built_once
from support.commands import run_stage_in_process

from severstal.paths import Paths


@pytest.fixture(scope="session")
def run(finished: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A finished run with its report; tests read it only."""
    return Paths.under(built_once(tmp_path_factory, "reported", partial(write_reported, finished)))


def write_reported(finished: Paths, root: Path) -> None:
    shutil.copytree(finished.input.parent, root, dirs_exist_ok=True)
    assert "wrote" in run_stage_in_process("report", Paths.under(root)).stdout


@pytest.fixture
def copy(run: Paths, tmp_path: Path) -> Paths:
    """A copy of the run, for tests that change it."""
    shutil.copytree(run.input.parent, tmp_path / "copy")
    return Paths.under(tmp_path / "copy")


@pytest.fixture
def facts(run: Paths) -> dict[str, Any]:
    """The report's numbers."""
    return json.loads(run.report_facts.read_text())
