"""Commands as a user would give them."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from severstal import errors
from severstal.paths import Paths

ROOT = Path(__file__).resolve().parents[2]


def run_bin(script: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a script of bin/ as a user would, from another working folder."""
    done = subprocess.run(
        ["bash", str(ROOT / "bin" / f"{script}.sh"), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd="/",
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if check and done.returncode:
        pytest.fail(f"bin/{script}.sh ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def arguments_of(paths: Paths) -> list[str]:
    """The folders of an experiment, for a command line."""
    return [f"--input={paths.input}", f"--folds={paths.folds}", f"--submissions={paths.submissions}"]


def run_stage_alone(
    name: str, paths: Paths, *arguments: object, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a stage's file in a process of its own, without the set-up that bin/ does first."""
    command = [sys.executable, str(ROOT / "src" / f"{name}.py"), *arguments_of(paths), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if check and done.returncode:
        pytest.fail(f"{name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def run_stage_in_process(
    name: str, paths: Paths, *arguments: object, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a stage's ``main`` in this process, which saves the seconds that its imports take in a new one."""
    command = [f"{name}.py", *arguments_of(paths), *map(str, arguments)]
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        patch.setattr(sys, "argv", command)
        try:
            errors.run_stage(runpy.run_path(str(ROOT / "src" / f"{name}.py"), run_name=name)["main"])
        except SystemExit as end:
            code = int(end.code or 0)
    if check and code:
        pytest.fail(f"{name} ended with {code}:\n{stdout.getvalue()}\n{stderr.getvalue()}")
    return subprocess.CompletedProcess(command, code, stdout.getvalue(), stderr.getvalue())


def check_error(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exit code 2 and a last line ``error: ...`` with these parts; no traceback."""
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    error = done.stderr[done.stderr.index("error: ") :]
    for part in parts:
        assert part in error
