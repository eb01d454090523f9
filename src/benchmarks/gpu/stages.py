"""Stages of this repository as steps run them, and the folders of their small experiments."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from severstal.commands import folder_options
from severstal.paths import Paths

SOURCE = Path(__file__).resolve().parents[2]


def experiment(folder: Path) -> Paths:
    """The folders of an experiment under ``folder``; all experiments of one check share their strips."""
    return Paths(folder.parent / "input", folder / "folds", folder / "submissions")


def command(stage: str, paths: Paths, *arguments: object) -> list[str]:
    """The command that runs a stage."""
    return [sys.executable, str(SOURCE / f"{stage}.py"), *folder_options(paths), *map(str, arguments)]


def run(stage: str, paths: Paths, *arguments: object) -> float:
    """Run a stage; the seconds that it took. What it prints goes into the step's log.

    If it fails, this process ends with its exit code, and the log ends with its message.
    """
    began = time.monotonic()
    done = subprocess.run(command(stage, paths, *arguments), stdout=sys.stderr)
    if done.returncode:
        sys.exit(done.returncode)
    return round(time.monotonic() - began, 1)


def tune_once(paths: Paths) -> None:
    """Tune an experiment that was trained, unless an earlier step has."""
    if not paths.postprocess.exists():
        run("tune", paths)
