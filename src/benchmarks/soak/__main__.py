"""Let random harm come to a small experiment for a while, and print what came of it as a table in Markdown.

Reads nothing; writes into a temporary folder, which it deletes. The checks take turns. Exit code 1 if one failed.

    bash bin/soak.sh --minutes 120
    bash bin/soak.sh --checks kill --seed 1234 --attempts 1      repeat the attempt that a row names
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak import demo_requests, full_disk, fuzz, kill, two_at_once
from benchmarks.soak.small_run import Failure, SmallRun
from severstal.console import StageParser
from severstal.errors import InputError, run_stage

CHECKS: dict[str, Callable[[SmallRun, int], None]] = {
    "kill": kill.attempt,
    "two-at-once": two_at_once.attempt,
    "full-disk": full_disk.attempt,
    "fuzz": fuzz.attempt,
    "demo": demo_requests.attempt,
}


@dataclass
class Row:
    """What came of one check.

    Attributes:
        attempts: that were made.
        failures: what went wrong, by seed.
    """

    attempts: int = 0
    failures: dict[int, str] = field(default_factory=dict)


def main() -> None:
    options = parse()
    names = options.checks.split(",")
    if unknown := set(names) - CHECKS.keys():
        raise InputError(f"no check is called {min(unknown)!r}: there are {', '.join(CHECKS)}")
    with tempfile.TemporaryDirectory(prefix="severstal-soak-") as folder:
        run = SmallRun(Path(folder))
        run.prepare()
        print(f"undisturbed run: {sum(run.seconds.values()):.0f} s", flush=True)
        rows = soak(run, names, options.minutes * 60, options.seed, options.attempts)
    print(*table(rows, options.seed), sep="\n")
    if any(row.failures for row in rows.values()):
        sys.exit(1)


def soak(run: SmallRun, names: list[str], seconds: float, seed: int, attempts: int) -> dict[str, Row]:
    """Let the checks take turns until the time is over or each has made its attempts; the seeds count upwards."""
    rows, deadline = {name: Row() for name in names}, time.monotonic() + seconds
    for number in range(seed, seed + attempts):
        for name, row in rows.items():
            if time.monotonic() > deadline:
                return rows
            row.attempts += 1
            try:
                CHECKS[name](run, number)
            except Failure as failure:
                row.failures[number] = str(failure)
                print(f"{name}, seed {number}: {failure}", flush=True)
    return rows


def table(rows: dict[str, Row], seed: int) -> list[str]:
    """A row per check, in Markdown."""
    lines = ["| check | attempts | seeds | failures |", "|---|---|---|---|"]
    for name, row in rows.items():
        failures = "; ".join(f"seed {number}: {text}" for number, text in row.failures.items())
        seeds = f"{seed} to {seed + row.attempts - 1}" if row.attempts else "none"
        lines.append(f"| {name} | {row.attempts} | {seeds} | {failures or 'none'} |")
    return lines


def parse() -> argparse.Namespace:
    command_line = StageParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command_line.add_argument("--minutes", type=float, default=10, metavar="N", help="default: 10")
    command_line.add_argument("--seed", type=int, default=0, metavar="N", help="of the first attempt; default: 0")
    command_line.add_argument("--attempts", type=int, default=10**9, metavar="N", help="of each check, at most")
    command_line.add_argument("--checks", default=",".join(CHECKS), help=f"default: {','.join(CHECKS)}")
    return command_line.parse_args()


if __name__ == "__main__":
    run_stage(main)
