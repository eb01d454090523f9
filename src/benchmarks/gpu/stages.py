"""Stages of this repository as steps run them, and the folders of their small experiments."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from severstal import recipe
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
    return run_command(command(stage, paths, *arguments))


def run_command(arguments: Sequence[str]) -> float:
    """The same for a command."""
    began = time.monotonic()
    done = subprocess.run(arguments, stdout=sys.stderr)
    if done.returncode:
        sys.exit(done.returncode)
    return round(time.monotonic() - began, 1)


def small_experiment(folder: Path, amp: str, values: Sequence[str]) -> tuple[Paths, str]:
    """An experiment of recipe ``sample`` with other values, split into folds; its folders and its one encoder."""
    paths = experiment(folder)
    run("make_folds", paths, "--recipe", "sample", "--amp", amp, *values)
    (encoder,) = recipe.read(paths).encoders
    return paths, encoder


def tune_once(paths: Paths) -> None:
    """Tune an experiment that was trained, unless an earlier step has."""
    if not paths.postprocess.exists():
        run("tune", paths)
