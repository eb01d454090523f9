"""What a stage tells its user: what it read and wrote, its key number, how long it took.

The time is kept in folds/times.json. Every stage on made-up steel says so in its first line, so that no score of it
is taken for one of Severstal.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from severstal.artifacts import read_json, write_json
from severstal.madeup import is_made_up
from severstal.paths import Paths


class Stage:
    """Prints the lines of one stage, all in one form."""

    def __init__(self, name: str, paths: Paths) -> None:
        self._name, self._paths = name, paths
        self._began = time.monotonic()
        self._has_written = False
        print(f"== {name}" + ("  (made-up steel)" if is_made_up(paths.input) else ""), flush=True)

    def say(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def read(self, *files: Path | str) -> None:
        self.say("read   " + ", ".join(short(file) for file in files))

    def wrote(self, *files: Path | str) -> None:
        self._has_written = True
        self.say("wrote  " + ", ".join(short(file) for file in files))

    def up_to_date(self, what: Path | str) -> None:
        self.say(f"{short(what)} is up to date")

    def done(self, *, keep_time: bool = True) -> None:
        """Say how long it took, and keep that, unless there was nothing to do or ``keep_time`` is off."""
        seconds = time.monotonic() - self._began
        if self._has_written and keep_time:
            keep(self._paths.times, self._name, seconds)
        self.say(f"took   {duration(seconds)}")


def keep(path: Path, stage: str, seconds: float) -> None:
    """Put a stage's time into the record of times, in place of an earlier one."""
    known = read_times(path)
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(path, known | {stage: {"seconds": round(seconds, 2), "finished": finished}})


def read_times(path: Path) -> dict[str, dict[str, Any]]:
    """Seconds and end of each stage that has run; empty before the first."""
    return read_json(path, "bash bin/run_all.sh") if path.exists() else {}


def short(file: Path | str) -> str:
    """A path as seen from the working folder, where that is shorter."""
    relative = os.path.relpath(file)
    return min(str(file), relative, key=len) if isinstance(file, Path) else str(file)


def duration(seconds: float) -> str:
    """Such as ``8 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    minutes, rest = divmod(round(seconds), 60)
    if seconds < 9.5:
        return f"{seconds:.1f} s"
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
