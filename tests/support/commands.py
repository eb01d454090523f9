"""Commands as a user would give them: scripts of bin/, and stages in a process of their own or in this one."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from severstal import errors
from severstal.paths import Paths
from support.files import contents

ROOT = Path(__file__).resolve().parents[2]

Result = subprocess.CompletedProcess[str]


def arguments_of(paths: Paths) -> list[str]:
    """The folders of an experiment, for a command line."""
    return [f"--input={paths.input}", f"--folds={paths.folds}", f"--submissions={paths.submissions}"]


def run_bin(script: str, *arguments: object, check: bool = True) -> Result:
    """Run a script of bin/ from another working folder."""
    return _run(["bash", str(ROOT / "bin" / f"{script}.sh"), *map(str, arguments)], check=check, cwd="/")


def run_stage_alone(name: str, paths: Paths, *arguments: object, check: bool = True, **options: Any) -> Result:
    """Run a stage in a process of its own, without the set-up that bin/ does first.

    Args:
        options: of :func:`subprocess.run`.
    """
    command = [sys.executable, str(ROOT / "src" / f"{name}.py"), *arguments_of(paths), *map(str, arguments)]
    return _run(command, check=check, **options)


def run_stage_in_process(name: str, paths: Paths, *arguments: object, check: bool = True) -> Result:
    """Run a stage's ``main`` in this process, which saves the seconds that its imports take in a new one."""
    command = [f"{name}.py", *arguments_of(paths), *map(str, arguments)]
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        patch.setattr(sys, "argv", command)
        try:
            errors.run_stage(runpy.run_path(str(ROOT / "src" / f"{name}.py"), run_name=name)["main"])
        except SystemExit as end:
            code = int(end.code or 0)
    return _checked(subprocess.CompletedProcess(command, code, stdout.getvalue(), stderr.getvalue()), check)


def run_python(code: str) -> str:
    """Run code in a new process, where nothing is imported yet; what it printed."""
    return _run([sys.executable, "-c", code], check=True).stdout


def run_refused(name: str, paths: Paths, *arguments: object) -> str:
    """Run a stage that must end with code 2 and leave every file as it was; what it wrote to stderr."""
    before = contents(paths.input.parent)
    result = run_stage_in_process(name, paths, *arguments, check=False)
    assert result.returncode == 2, f"{name} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
    assert contents(paths.input.parent) == before, f"{name} failed and changed files"
    return result.stderr


def check_error(result: Result, *parts: str) -> None:
    """Exit code 2 and a last line ``error: ...`` with these parts; no traceback."""
    assert result.returncode == 2, result
    assert "Traceback" not in result.stderr
    error = result.stderr[result.stderr.index("error: ") :]
    for part in parts:
        assert part in error


def _run(command: list[str], *, check: bool, **options: Any) -> Result:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return _checked(subprocess.run(command, capture_output=True, text=True, env=environment, **options), check)


def _checked(result: Result, check: bool) -> Result:
    if check and result.returncode:
        command = " ".join(map(str, result.args))
        pytest.fail(f"{command} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}")
    return result
