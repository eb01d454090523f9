"""Two runs never write into one folder at the same time: the second one ends with an error that names the first.

A run holds a file lock on ``.lock`` in the folder, or on ``.lock-<unit>`` where it writes one part of it only, such as
one network of an experiment. The system releases the lock of a process that was killed, so a file that was left behind
is no obstacle; the next run deletes it, and the temporary files that the killed one left.

A run that is refused has changed nothing. Runs that only read take no lock: files are replaced as a whole.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from severstal.errors import InputError
from severstal.file_lock import NAME, NO_LOCKS, delete_if_not_held, holding, lock_path
from severstal.processes import has_ended

TEMPORARY = re.compile(r"\..+\.(\d+)")  # of severstal.artifacts
ENDING_SECONDS = 15.0  # for the processes of a killed run to end
POLL_SECONDS = 0.1

logger = logging.getLogger(__name__)


@contextmanager
def run_lock(folder: Path, units: Sequence[str] = (), leftovers: Sequence[Path] = ()) -> Iterator[None]:
    """Keep other runs from writing into a folder, as long as the context lasts.

    Args:
        folder: it is created if it is missing.
        units: the parts of the folder that are written; runs with other units are then allowed. Empty: all of it.
        leftovers: further folders, written under this lock alone, in which killed runs' temporary files are deleted and
            lock files of :func:`severstal.file_lock.waited_lock`.

    Raises:
        InputError: if another run writes there, with its process, host and start time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = [lock_path(folder, unit) for unit in units] or [folder / NAME]
    with ExitStack() as held:
        for lock in own:
            held.enter_context(_held(lock))
        for other in [folder / NAME] if units else sorted(folder.glob(f"{NAME}-*")):
            _refuse_if_held(other)
        for other in (lock for place in [folder, *leftovers] for lock in place.glob(f"{NAME}-*")):
            if other not in own:
                delete_if_not_held(other)
        for place in leftovers if units else [folder, *leftovers]:
            _delete_temporary_files(place)
        yield


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold the lock of a file, with a record of this process in it."""
    deadline = time.monotonic() + ENDING_SECONDS

    def try_or_refuse(descriptor: int, path: Path) -> bool:
        is_locked = _try_lock(descriptor, path)
        if not is_locked:
            _wait_or_refuse(path, deadline)
        return is_locked

    with holding(path, try_or_refuse) as descriptor:
        _write_record(descriptor, path)
        yield


def _try_lock(descriptor: int, path: Path) -> bool:
    """Whether this process has the lock now, or the file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        logger.warning(
            "the file system of %s has no locks (%s): start no second run there while this one writes",
            path.parent,
            error.strerror,
        )
    return True


def _write_record(descriptor: int, path: Path) -> None:
    earlier = _read_record(path)
    if earlier:
        logger.info("the run of %s was stopped before its end; this one goes on", _describe(earlier))
    record = {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
    }
    os.ftruncate(descriptor, 0)
    with suppress(OSError):  # on a full disk the lock holds all the same; the stage's own files say what lacks
        os.pwrite(descriptor, json.dumps(record).encode(), 0)


def _wait_or_refuse(path: Path, deadline: float) -> None:
    """Raise if a run that is alive holds the lock; wait a moment for one that is just beginning or ending."""
    record = _read_record(path)
    if time.monotonic() > deadline or (record and _is_alive(record)):
        raise _in_use(path, record)
    time.sleep(POLL_SECONDS)


def _refuse_if_held(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _in_use(path, _read_record(path)) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    finally:
        os.close(descriptor)


def _in_use(path: Path, record: dict[str, Any]) -> InputError:
    who = _describe(record) if record else "another process"
    stop = f", or stop it (`kill {record['pid']}` on {record['host']})" if record else ""
    return InputError(f"{path.parent} is in use by {who}: wait until it has ended{stop}, then run this again")


def _describe(record: dict[str, Any]) -> str:
    return f"`{record['command']}` (process {record['pid']} on {record['host']}, started {record['started']})"


def _read_record(path: Path) -> dict[str, Any]:
    """Who holds, or held, the lock; empty where that is not known."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    known = isinstance(record, dict) and record.keys() >= {"pid", "host", "started", "command"}
    return record if known and isinstance(record["pid"], int) else {}


def _is_alive(record: dict[str, Any]) -> bool:
    """Whether the process runs; one on another machine counts as running."""
    return record["host"] != os.uname().nodename or not has_ended(record["pid"])


def _delete_temporary_files(folder: Path) -> None:
    for file in folder.glob(".*"):
        name = TEMPORARY.fullmatch(file.name)
        if name and has_ended(int(name[1])):
            if file.is_dir():
                shutil.rmtree(file, ignore_errors=True)
            else:
                file.unlink(missing_ok=True)
