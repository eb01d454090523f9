"""Locks on files, which the system releases when the process that holds them ends, however it ends.

A lock file is deleted by the process that holds its lock, so each process that gets a lock looks whether the file is
still there, and otherwise begins again.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

NAME = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # a file system without locks

logger = logging.getLogger(__name__)


@contextmanager
def waited_lock(folder: Path, unit: str) -> Iterator[None]:
    """Let one process after the other write a part of a folder: wait while another one is within this context.

    On a file system without locks nothing is waited for.

    Args:
        folder: it is created if it is missing.
        unit: the part of the folder that is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with holding(lock_path(folder, unit), _wait):
        yield


def _wait(descriptor: int, path: Path) -> bool:
    """Wait for the lock; where the file system has none, go on."""
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process writes into %s: waiting for it", path.parent)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def lock_path(folder: Path, unit: str) -> Path:
    """The lock file of a part of a folder; other characters than those of file names are quoted in it."""
    return folder / f"{NAME}-{quote(unit, safe='')}"


@contextmanager
def holding(path: Path, try_lock: Callable[[int, Path], bool]) -> Iterator[int]:
    """Hold a lock as long as the context lasts, and delete its file at the end; the context is its descriptor.

    Args:
        try_lock: takes the lock of the open file at a path; it is called again with the file opened anew where it
            returns False, or another process deleted the file meanwhile.
    """
    descriptor = _acquire(path, try_lock)
    try:
        yield descriptor
    finally:
        path.unlink(missing_ok=True)  # while it is locked: whoever opened it meanwhile looks whether it is still there
        os.close(descriptor)


def _acquire(path: Path, try_lock: Callable[[int, Path], bool]) -> int:
    """The descriptor of the locked file, which is created if it is missing."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if try_lock(descriptor, path) and _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at its path: the run that held it may have deleted it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def delete_if_not_held(path: Path) -> None:
    """Delete the lock file that a killed process left of a part of the folder which nobody writes again."""
    with suppress(OSError):  # it is held, or deleted meanwhile, or the file system has no locks
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                path.unlink()
        finally:
            os.close(descriptor)
