"""One GPU per training process: processes of one machine claim GPUs by file locks."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from severstal import paths
from severstal.hardware import gpus

_locks: list[TextIO] = []  # open files of this process; closing one would release its lock


def claim_gpu(folder: Path | None = None) -> str | None:
    """Take a visible GPU that no other training process of this machine has, until this process ends.

    Sets ``CUDA_VISIBLE_DEVICES`` to its UUID, so it has to run before CUDA is initialised. GPUs that the variable hides
    already, such as those of other jobs of Slurm, are left alone.

    Args:
        folder: of the lock files; the system's temporary folder by default.

    Returns:
        the GPU's UUID; None if at most one GPU is visible, if this process has claimed one, or if all are taken.
    """
    visible = gpus()
    if len(visible) < 2 or _locks:
        return None
    for uuid in (gpu["uuid"] for gpu in visible):
        lock = _open(paths.gpu_lock(uuid, folder))
        if lock is None:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system releases it when the process ends
        except OSError:
            lock.close()
            continue
        _locks.append(lock)
        os.environ["CUDA_VISIBLE_DEVICES"] = uuid
        return uuid
    return None


def _open(path: Path) -> TextIO | None:
    """The open lock file; None for one that this user may not even read. Another user's is locked without writing."""
    try:
        if not path.exists():
            path.touch(mode=0o666)
        return path.open()
    except PermissionError:
        return None
