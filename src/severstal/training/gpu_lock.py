"""One GPU per training process: processes of one machine claim GPUs by file locks."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from severstal import paths
from severstal.hardware import gpu_count

_locks: list[TextIO] = []  # open files of this process; closing one would release its lock


def claim_gpu(folder: Path | None = None) -> int | None:
    """Take a GPU that no other training process of this machine has, until this process ends.

    Sets ``CUDA_VISIBLE_DEVICES``, so it has to run before CUDA is initialised.

    Args:
        folder: of the lock files; the system's temporary folder by default.

    Returns:
        the GPU's number; None if there is at most one GPU, if CUDA_VISIBLE_DEVICES is already set, or if all are taken.
    """
    if gpu_count() < 2 or _locks or "CUDA_VISIBLE_DEVICES" in os.environ:
        return None
    for number in range(gpu_count()):
        lock = paths.gpu_lock(number, folder).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system releases it when the process ends
        except OSError:
            lock.close()
            continue
        _locks.append(lock)
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number)
        return number
    return None
