"""Runs steps one after another, each in a process of its own and under its own time limit.

Only Python's standard library is imported here, so that a machine that lacks a package still gets a line for each step.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2]

FAILED = ("failed", "timed out")
STRETCH = 2  # a step gets at most this many times its own seconds, if the steps before it left so many
PROGRESS = "measured: "  # begins a line of a step that is passed on at once
ENDS_AT = "GPU_CHECK_STEP_ENDS_AT"  # in a step's environment: when it is stopped, on the clock of time.monotonic()

Say = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: unique.
        arguments: of Python, such as ``("-m", "benchmarks.gpu.versions")``.
        seconds: that it has in any case.
        packages: modules that it needs; ``a|b`` is either of two.
        after: steps that it goes on from.
        is_required: whether all steps after it are skipped if it fails; they are not if it runs out of time.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: float
    packages: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    is_required: bool = False

    def missing_packages(self) -> list[str]:
        """Those of its packages that are not installed."""
        return [entry for entry in self.packages if not any(map(_is_installed, entry.split("|")))]


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


def describe(steps: Sequence[Step]) -> str:
    """The budget of the steps in words."""
    able = [step for step in steps if not step.missing_packages()]
    if not able:
        return f"none of the {len(steps)} steps can run here: packages are missing"
    listed = ", ".join(f"{step.name} {step.seconds:.0f}" for step in able)
    without = f"; {len(steps) - len(able)} steps lack packages" if len(able) < len(steps) else ""
    return f"at most {sum(step.seconds for step in steps):.0f} s in all; seconds of each step: {listed}{without}"


def run_all(steps: Sequence[Step], logs: Path, say: Say) -> Iterator[Result]:
    """Run every step that can run.

    All of them together end within the sum of their seconds. A step may use seconds that others left, up to ``STRETCH``
    times its own, but none of those that the steps after it have in any case.

    Args:
        logs: a folder for what the steps print.
        say: gets what a step reports while it runs, as a line of JSON.

    Yields:
        The result of each step when it is known.
    """
    logs.mkdir(parents=True, exist_ok=True)
    ends_at = time.monotonic() + sum(step.seconds for step in steps)
    results: dict[str, Result] = {}
    end = ""
    for number, step in enumerate(steps):
        kept = sum(later.seconds for later in steps[number + 1 :] if not later.missing_packages())
        limit = max(min(STRETCH * step.seconds, ends_at - time.monotonic() - kept), 0.0)
        reason = end or _obstacle(step, results)
        if reason:
            result = Result(step.name, "skipped", reason=reason)
        else:
            result = run(step, logs / f"{step.name.replace(' ', '-')}.log", limit, say)
        results[step.name] = result
        if step.is_required and result.status == "failed":
            end = f"the step '{step.name}' failed"
        yield result


def run(step: Step, log: Path, limit: float, say: Say) -> Result:
    """Run one step for at most ``limit`` seconds; its output goes into ``log``."""
    began = time.monotonic()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]),
        ENDS_AT: str(began + limit),
    }
    with log.open("w") as output, log.open(errors="replace") as printed:
        process = subprocess.Popen(
            [sys.executable, *step.arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # its children are ended with it
        )
        try:
            code = None
            while code is None and time.monotonic() - began < limit:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(timeout=0.2)
                _pass_on(step, printed, say)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds = round(time.monotonic() - began, 1)
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    facts = _facts(lines)
    if code is None:
        reason = f"stopped after {limit:.0f} s{_last_progress(lines)}"
        return Result(step.name, "timed out", seconds, reason, facts)
    if code:
        return Result(step.name, "failed", seconds, _reason(lines) or f"it ended with code {code}", facts)
    return Result(step.name, "ok", seconds, facts=facts)


def progress(text: str) -> None:
    """Called within a step: report something that was measured, before the step has ended."""
    print(f"{PROGRESS}{text}", flush=True)


def seconds_left() -> float:
    """Called within a step: seconds until it is stopped; infinite outside of the check."""
    return float(os.environ.get(ENDS_AT, math.inf)) - time.monotonic()


def exit_code(results: Iterable[Result]) -> int:
    """0 if a step was done and none failed, else 2: a check in which all steps were skipped has shown nothing."""
    statuses = {result.status for result in results}
    return 0 if "ok" in statuses and not statuses.intersection(FAILED) else 2


def _pass_on(step: Step, printed: Iterable[str], say: Say) -> None:
    """Say what the step has reported since the last call."""
    for line in printed:
        if line.startswith(PROGRESS):
            say(json.dumps({"step": step.name, "measured": line.removeprefix(PROGRESS).rstrip()}))


def _obstacle(step: Step, results: dict[str, Result]) -> str:
    """Why a step cannot run; empty if it can."""
    missing = step.missing_packages()
    if missing:
        return f"not installed: {', '.join(missing)}"
    undone = [name for name in step.after if name in results and results[name].status != "ok"]
    return f"it goes on from the step '{undone[0]}', which was not done" if undone else ""


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


def _last_progress(lines: list[str]) -> str:
    """What the step reported last, as the end of a sentence."""
    return next((f", after {line.removeprefix(PROGRESS)}" for line in reversed(lines) if line.startswith(PROGRESS)), "")


def _reason(lines: list[str]) -> str:
    """The last line that is neither JSON nor progress: an exception's message, or a stage's ``error: ...``."""
    return next((line.strip() for line in reversed(lines) if not line.startswith(("{", PROGRESS))), "")[:500]
