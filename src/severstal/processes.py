"""Processes that end with the process that started them, also when that one was killed and could not say so.

A training starts processes for other networks and for loading, an export one for TensorRT's builder, ``run_all.sh`` one
per stage. Left behind by a killed parent, they would go on beside whatever is started next in the same folders.

A thread waits for the end of the parent *process*. The kernel's own ``PR_SET_PDEATHSIG`` waits for the end of the
*thread* that started the child (``man 2 prctl``), which may end long before its process.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

LAUNCHER = "SEVERSTAL_LAUNCHER"  # environment: process id of the script that a stage has to end with
POLL_SECONDS = 1.0  # between looks at the parent where the system has no pidfd (before Linux 5.3)
GRACE_SECONDS = 10.0  # for a process to clean up before it is killed

_watching: set[tuple[int, int]] = set()  # (process, parent); a forked child inherits the set, not the thread


def started_by_torchrun() -> bool:
    """Whether torchrun started this process. Batch systems set ``WORLD_SIZE`` too."""
    return "WORLD_SIZE" in os.environ and "LOCAL_RANK" in os.environ


def torchrun_rank() -> int:
    """The number of this process among those of torchrun, 0 for the first one and without torchrun."""
    return int(os.environ.get("RANK", 0)) if started_by_torchrun() else 0


def end_with_parent(parent: int | None = None) -> None:
    """End this process soon after the process that started it has ended; a second call changes nothing.

    The process gets SIGTERM, so that a stage removes its temporary files, and SIGKILL if it is still there after
    ``GRACE_SECONDS``.

    Args:
        parent: its process id, where the caller knows it; if the parent has ended already, this process ends now.
    """
    parent = os.getppid() if parent is None else parent
    if (os.getpid(), parent) in _watching:
        return
    _watching.add((os.getpid(), parent))
    threading.Thread(target=_watch, args=(parent,), name="end-with-parent", daemon=True).start()


def process_pool() -> AbstractContextManager[Any]:
    """Context in which joblib's processes end with this one."""
    from joblib import parallel_config  # takes a while to import, and most stages start no processes

    return parallel_config("loky", initializer=end_with_parent, initargs=(os.getpid(),))


def end_with_launcher() -> None:
    """End this process with the script that started it as one of its steps, if there is one."""
    launcher = os.environ.get(LAUNCHER, "")
    # A script that was killed while this process started is not its parent any more.
    if launcher.isdigit() and (int(launcher) == os.getppid() or has_ended(int(launcher))):
        end_with_parent(int(launcher))


def has_ended(pid: int) -> bool:
    """Whether there is no such process, or only its exit code is left for its parent to read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def _watch(parent: int) -> None:
    _wait_for_end_of(parent)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _wait_for_end_of(parent: int) -> None:
    try:
        descriptor = os.pidfd_open(parent)
    except (AttributeError, OSError):  # no such system call, or the parent has ended
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        return
    try:
        if os.getppid() == parent:  # otherwise the number is that of another process by now
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            ended.poll()
    finally:
        os.close(descriptor)
