"""Training steps of one encoder of recipe ``kaggle`` in several modes: where the time goes.

What was measured is reported phase by phase, so that it is known even if a later step never ends.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.steps import progress, seconds_left
from benchmarks.gpu.training_modes import MODES
from benchmarks.gpu.training_trial import RESERVE, TEXTS, Size, Trial
from severstal.errors import InputError, first_line
from severstal.training.trainer import choose_algorithms

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("encoder")
    parser.add_argument("modes", help=f"of {', '.join(MODES)}, with commas between them")
    for name in ("steps", "batch", "side"):
        parser.add_argument(name, type=int)
    options = parser.parse_args()
    progress(f"{seconds_left():.0f} s are left after the imports")
    size = Size(options.steps, options.batch, options.side)
    choose_algorithms(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    rows: dict[str, Row] = {}
    trials = []
    for name in options.modes.split(","):
        rows[name] = {}
        try:
            trials.append(measured(options, name, size, rows))
        except (RuntimeError, InputError) as error:
            rows[name]["failure"] = first_line(error)
        report(options.encoder, rows)
    # Last, because the profiler stays attached and slows what comes after it.
    for trial in filter(None, trials):
        trial.profile()
        report(options.encoder, rows)
    failed = [name for name, row in rows.items() if "failure" in row or not row.get("finite", True)]
    if failed:
        sys.exit("; ".join(f"{name} {describe(rows[name])}" for name in failed))


def measured(options: argparse.Namespace, name: str, size: Size, rows: dict[str, Row]) -> Trial | None:
    """The trial of a mode after its measurement, whose row is put into ``rows``; None if the time is over."""
    if seconds_left() < RESERVE:
        rows[name]["stopped"] = "not begun, the time was over"
        return None
    trial = Trial(options.work, options.encoder, name, size)
    rows[name] = trial.row
    trial.measure()
    return trial


def report(encoder: str, rows: dict[str, Row]) -> None:
    """One line for the table, which holds all modes so far."""
    summary = "; ".join(f"{name} {describe(row)}" for name, row in rows.items())
    print(json.dumps({"encoder": encoder, "rows": rows, "summary": summary}), flush=True)


def describe(row: Row) -> str:
    """A row of :class:`Trial` in words."""
    if "failure" in row:
        return f"failed: {row['failure']}"
    parts = [text.format(row[key]) for key, text in TEXTS.items() if key in row]
    parts += [f"slowest kernel {next(iter(row['slowest']))}"] if row.get("slowest") else []
    parts += [f"not profiled: {row['profiler']}"] if "profiler" in row else []
    parts += [row["stopped"]] if "stopped" in row else []
    parts += [] if row.get("finite", True) else ["NOT FINITE"]
    return ", ".join(parts)


if __name__ == "__main__":
    main()
