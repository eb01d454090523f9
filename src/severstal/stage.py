"""What a stage tells its user: what it read and wrote, its key number, how long it took.

Every stage on made-up steel says so in its first line, so that no score of it is taken for one of Severstal.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from severstal.madeup import is_made_up
from severstal.paths import Paths


class Stage:
    """Prints the lines of one stage, all in one form."""

    def __init__(self, name: str, paths: Paths) -> None:
        self._began = time.monotonic()
        print(f"== {name}" + ("  (made-up steel)" if is_made_up(paths.input) else ""), flush=True)

    def say(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def read(self, *files: Path | str) -> None:
        self.say("read   " + ", ".join(short(file) for file in files))

    def wrote(self, *files: Path | str) -> None:
        self.say("wrote  " + ", ".join(short(file) for file in files))

    def up_to_date(self, what: Path | str) -> None:
        self.say(f"{short(what)} is up to date")

    def done(self) -> None:
        self.say(f"took   {duration(time.monotonic() - self._began)}")


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
