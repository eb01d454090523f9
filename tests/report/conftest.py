"""What the tests of the report share: a finished run and its report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.commands import run_stage_in_process
from support.finished_run import write_finished

from severstal.paths import Paths


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A finished run with its report; tests read it only."""
    paths = write_finished(tmp_path_factory.mktemp("finished"))
    assert "wrote" in run_stage_in_process("report", paths).stdout
    return paths


@pytest.fixture
def copy(run: Paths, tmp_path: Path) -> Paths:
    """A copy of the run, for tests that change it."""
    shutil.copytree(run.input.parent, tmp_path / "copy")
    return Paths.under(tmp_path / "copy")


@pytest.fixture
def facts(run: Paths) -> dict[str, Any]:
    """The report's numbers."""
    return json.loads(run.report_facts.read_text())
