"""One training that the tests of this folder share."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.built_once import built_once
from support.experiments import write_tiny
from support.training import SHARED_VALUES, job

from severstal.paths import Paths
from severstal.training.job import Job


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        console: the lines that the library logged meanwhile.
    """

    job: Job
    console: str


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Fold 0 of the small experiment with a classifier, three epochs, without test-time flips; not to be changed."""
    root = built_once(tmp_path_factory, "trained", write_trained)
    return Trained(job(Paths.under(root), SHARED_VALUES), (root / "console.txt").read_text())


def write_trained(root: Path) -> None:
    training = job(write_tiny(root), SHARED_VALUES)
    lines, logger = Lines(), logging.getLogger("severstal")
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        training.run()
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
    (root / "console.txt").write_text("\n".join(lines.lines))
