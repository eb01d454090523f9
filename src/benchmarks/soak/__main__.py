"""Let random harm come to a small experiment for a while, and print what came of it as a table in Markdown.

Reads nothing; writes into a temporary folder, which it deletes. The checks take turns; an attempt that fails does not
stop them. The minutes count from the end of the undisturbed run, and the attempt that runs then is the last one. Ctrl-C
ends earlier, with the table so far. Exit code 1 if an attempt failed.

    bash bin/soak.sh --minutes 120
    bash bin/soak.sh --minutes 120 --table soak.md               the table into a file, too, after each attempt
    bash bin/soak.sh --minutes 60 --checks kill,fuzz             some checks; others can run beside them
    bash bin/soak.sh --checks kill --seed 1234 --attempts 1      repeat the attempt that a row names
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from benchmarks.soak import demo_requests, full_disk, fuzz, kill, two_at_once
from benchmarks.soak.small_run import Failure, NotPossible, SmallRun
from severstal.artifacts import write_text
from severstal.console import StageParser
from severstal.errors import InputError, first_line, run_stage
from severstal.hardware import core_count, processor


@dataclass(frozen=True)
class Check:
    """A kind of harm.

    Attributes:
        attempt: does it once, from a seed.
        turns: attempts that it makes while the others make theirs; a kill finds more than a hundred requests.
        unit: what :attr:`SmallRun.harms` counts.
    """

    attempt: Callable[[SmallRun, int], None]
    turns: int
    unit: str


CHECKS = {
    "kill": Check(kill.attempt, 12, "kills"),
    "two-at-once": Check(two_at_once.attempt, 5, "pairs of stages"),
    "full-disk": Check(full_disk.attempt, 6, "full disks"),
    "fuzz": Check(fuzz.attempt, 5, "inputs"),
    "demo": Check(demo_requests.attempt, 1, "requests"),
}


@dataclass
class Row:
    """What came of one check.

    Attributes:
        attempts: that were made.
        harms: in them, such as kills.
        seconds: that they took.
        failures: what went wrong, by seed.
        not_possible: why the check cannot be made on this machine; empty where it can.
    """

    attempts: int = 0
    harms: int = 0
    seconds: float = 0
    failures: dict[int, str] = field(default_factory=dict)
    not_possible: str = ""

    @property
    def result(self) -> str:
        """The failures with their seeds, as a cell of the table."""
        texts = [f"seed {number}: {text}" for number, text in self.failures.items()]
        texts += [f"not possible here: {self.not_possible}"] if self.not_possible else []
        return " ".join("; ".join(texts).split()).replace("|", "\\|") or "none"


def main() -> None:
    options = parse()
    names = options.checks.split(",")
    if unknown := set(names) - CHECKS.keys():
        raise InputError(f"no check is called {min(unknown)!r}: there are {', '.join(CHECKS)}")
    rows = {name: Row() for name in names}
    with tempfile.TemporaryDirectory(prefix="severstal-soak-") as folder:
        run = SmallRun(Path(folder))
        run.prepare()
        print(f"undisturbed run: {sum(run.seconds.values()):.0f} s", flush=True)
        started = time.monotonic()
        try:
            for _ in soak(run, rows, options):
                if options.table:
                    write_text(options.table, table(rows, options.seed, time.monotonic() - started))
        finally:
            run.end_processes()
            print(table(rows, options.seed, time.monotonic() - started), end="", flush=True)
    if any(row.failures for row in rows.values()):
        sys.exit(1)


def soak(run: SmallRun, rows: dict[str, Row], options: argparse.Namespace) -> Iterator[None]:
    """Let the checks take turns until the time is over or each has made its attempts; yields after each attempt.

    The seeds of each check count upwards. The check whose share of turns is the smallest is next.
    """
    deadline = time.monotonic() + options.minutes * 60
    while time.monotonic() < deadline:
        left = [name for name, row in rows.items() if row.attempts < options.attempts and not row.not_possible]
        if not left:
            return
        name = min(left, key=lambda name: rows[name].attempts / CHECKS[name].turns)
        attempt(run, name, rows[name], options.seed + rows[name].attempts, options.keep)
        yield


def attempt(run: SmallRun, name: str, row: Row, seed: int, keep: Path | None) -> None:
    """One attempt of a check; whatever goes wrong in it becomes a failure of its row."""
    started, run.harms = time.monotonic(), 0
    try:
        CHECKS[name].attempt(run, seed)
    except NotPossible as reason:
        row.not_possible = str(reason)
        print(f"{name}: {reason}", flush=True)
        return
    except Failure as failure:
        row.failures[seed] = str(failure)
    except Exception as error:  # of the check itself, such as a file that it cannot read
        traceback.print_exc()
        row.failures[seed] = f"{type(error).__name__}: {first_line(error)}"
    row.attempts += 1
    row.harms += run.harms
    row.seconds += time.monotonic() - started
    if seed in row.failures:
        print(f"{name}, seed {seed}: {row.failures[seed]}", flush=True)
        if keep:
            run.keep(keep / f"{name}-{seed}")
    run.forget_logs()


def table(rows: dict[str, Row], seed: int, seconds: float) -> str:
    """When, how long and on what the checks were made, and a row for each, in Markdown."""
    lines = [
        f"{date.today().isoformat()}, {seconds / 60:.0f} minutes, {processor()}, cores: {core_count()}",
        *("", "| check | done | minutes | attempts | seeds | failures |", "|---|---|---|---|---|---|"),
    ]
    for name, row in rows.items():
        seeds = f"{seed} to {seed + row.attempts - 1}" if row.attempts else "none"
        done = f"{row.harms:,} {CHECKS[name].unit}"
        lines.append(f"| {name} | {done} | {row.seconds / 60:.1f} | {row.attempts} | {seeds} | {row.result} |")
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    command_line = StageParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command_line.add_argument("--minutes", type=float, default=10, metavar="N", help="default: 10")
    command_line.add_argument("--seed", type=int, default=0, metavar="N", help="of the first attempt; default: 0")
    command_line.add_argument("--attempts", type=int, default=10**9, metavar="N", help="of each check, at most")
    command_line.add_argument("--table", type=Path, metavar="FILE", help="write the table there, too")
    command_line.add_argument("--keep", type=Path, metavar="FOLDER", help="where files of failed attempts are kept")
    command_line.add_argument("--checks", default=",".join(CHECKS), help=f"default: {','.join(CHECKS)}")
    return command_line.parse_args()


if __name__ == "__main__":
    run_stage(main)
