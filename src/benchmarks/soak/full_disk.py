"""A stage on a file system that fills at a random moment, then the same command on one that is large enough.

The stage must say that the disk is full and leave finished work as it is: the second run must end with the files of a
run that nothing disturbed. Mounting a tmpfs takes the rights of root.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.soak.small_run import END, STAGES, Failure, NotPossible, SmallRun, last_line

PAGE = 4096  # bytes; a tmpfs takes memory for what is in it alone, so its size may be larger than the memory
FULL = re.compile(r"No space left|[Dd]isk|MB left|StorageFull")


def attempt(run: SmallRun, seed: int) -> None:
    """One stage on a full disk, then finished.

    Raises:
        NotPossible: where no file system can be mounted.
        Failure: if the stage crashes, does not say what lacks, or the files differ in the end.
    """
    dice = random.Random(seed)
    stage = list(STAGES)[seed % len(STAGES)]
    folder, before = run.folder / "run", run.before(stage)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    used = size_of(before)
    _mount(folder, used + round(dice.uniform(PAGE, growth(run, stage))))
    try:
        shutil.copytree(before, folder, dirs_exist_ok=True)
        mark = f"disk-{seed}"
        code, text = run.wait(run.start(stage, mark), stage, mark), run.log(mark)
        run.wait_until_gone(mark)
        if code not in (0, 2) or "Traceback" in text:
            raise Failure(f"{stage} on a full disk ended with code {code}: {last_line(text)}")
        if code and not FULL.search(last_line(text)):
            raise Failure(f"{stage} does not say that the disk is full: {last_line(text)}")
        run.harms += bool(code or FULL.search(text))  # it may end before the disk is full
        subprocess.run(["mount", "-o", "remount,size=9g", str(folder)], check=True)
        run.recover(stage)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def growth(run: SmallRun, stage: str) -> int:
    """Bytes that a stage adds, at least 16 pages."""
    names = [*STAGES, END]
    after = names[names.index(stage) + 1]
    return max(16 * PAGE, size_of(run.before(after)) - size_of(run.before(stage)))


def size_of(folder: Path) -> int:
    """Bytes that a folder takes on a tmpfs: whole pages, and one for each file and folder."""
    entries = list(folder.rglob("*"))
    return sum(-(-entry.stat().st_size // PAGE) * PAGE for entry in entries if entry.is_file()) + PAGE * len(entries)


def _mount(folder: Path, size: int) -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip() or f"mount ended with {done.returncode}"
        raise NotPossible(f"a file system of {size} bytes cannot be mounted ({reason}): run this as root")
