"""Runs steps one after another, each in a process of its own and under its own time limit.

Only Python's standard library is imported here, so that a machine that lacks a package still gets a line for each step.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2]

FAILED = ("failed", "timed out")


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: unique.
        arguments: of Python, such as ``("-m", "benchmarks.gpu.versions")``.
        seconds: after which it is stopped.
        packages: modules that it needs; ``a|b`` is either of two.
        after: steps whose files it reads.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: float
    packages: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What became of a step.

    Attributes:
        status: ``ok``, ``failed``, ``timed out`` or ``skipped``.
        seconds: that it took.
        reason: why it was not ``ok``.
        facts: what it found out.
    """

    step: str
    status: str
    seconds: float = 0.0
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps({name: value for name, value in asdict(self).items() if value or name == "seconds"})


def run_all(steps: Sequence[Step], logs: Path, budget: float, say: Callable[[str], None]) -> list[Result]:
    """Run every step that can run; ``say`` gets the line of each at once.

    Args:
        logs: a folder for what the steps print.
        budget: seconds for all steps; what is left when it is over is skipped.
    """
    logs.mkdir(parents=True, exist_ok=True)
    ends_at = time.monotonic() + budget
    results: dict[str, Result] = {}
    for step in steps:
        reason = _obstacle(step, results, ends_at - time.monotonic())
        if reason:
            result = Result(step.name, "skipped", reason=reason)
        else:
            result = run(step, logs / f"{step.name.replace(' ', '-')}.log", ends_at - time.monotonic())
        results[step.name] = result
        say(result.line())
    return list(results.values())


def run(step: Step, log: Path, seconds_left: float) -> Result:
    """Run one step; its output goes into ``log``."""
    began = time.monotonic()
    limit = min(step.seconds, seconds_left)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *step.arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # its children are ended with it
        )
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds = round(time.monotonic() - began, 1)
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    facts = _facts(lines)
    if code is None:
        return Result(step.name, "timed out", seconds, f"stopped after {limit:.0f} s", facts)
    if code:
        return Result(step.name, "failed", seconds, _reason(lines) or f"it ended with code {code}", facts)
    return Result(step.name, "ok", seconds, facts=facts)


def exit_code(results: Iterable[Result]) -> int:
    """0 if no step failed, else 2; skipped steps do not count."""
    return 2 if any(result.status in FAILED for result in results) else 0


def _obstacle(step: Step, results: dict[str, Result], seconds_left: float) -> str:
    """Why a step cannot run; empty if it can."""
    missing = [entry for entry in step.packages if not any(map(_is_installed, entry.split("|")))]
    if missing:
        return f"not installed: {', '.join(missing)}"
    failed = [name for name in step.after if name in results and results[name].status != "ok"]
    if failed:
        return f"it needs the step {failed[0]}"
    return "" if seconds_left > 1 else "the time for all steps is over"


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _facts(lines: list[str]) -> dict[str, Any]:
    """The last line that is a JSON object."""
    for line in reversed(lines):
        if line.startswith("{"):
            with suppress(json.JSONDecodeError):
                facts: dict[str, Any] = json.loads(line)
                return facts
    return {}


def _reason(lines: list[str]) -> str:
    """The last line that is no JSON: the message of an exception, or a stage's ``error: ...``."""
    return next((line.strip() for line in reversed(lines) if not line.startswith("{")), "")[:500]
