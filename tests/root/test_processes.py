"""Processes that end with the one that started them, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.commands import ROOT

from severstal import processes

# The child says that it watches, then sleeps; its end closes the pipe.
CHILD = """
import os, sys, time
from severstal import processes
{change}
processes.end_with_parent()
print("watching", flush=True)
time.sleep(600)
"""
# The parent starts the child from a thread that ends at once, and goes on.
PARENT = """
import subprocess, sys, threading, time
thread = threading.Thread(target=subprocess.Popen, args=([sys.executable, "-c", sys.argv[1]],))
thread.start()
thread.join()
time.sleep(600)
"""
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src")}
WITHOUT_PIDFD = "del os.pidfd_open; processes.POLL_SECONDS = 0.05"
IGNORES_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); processes.GRACE_SECONDS = 0.1"


@contextmanager
def parent_of(child: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PARENT, child]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as parent:
        try:
            yield parent
        finally:
            parent.kill()


@pytest.mark.parametrize("change", ["", WITHOUT_PIDFD, IGNORES_SIGTERM], ids=["pidfd", "polling", "ignores SIGTERM"])
def test_a_child_ends_when_its_parent_is_killed(change) -> None:
    with parent_of(CHILD.format(change=change)) as parent:
        assert parent.stdout.readline() == "watching\n"
        parent.send_signal(signal.SIGKILL)
        assert parent.stdout.read() == ""  # which waits until the child, too, has closed it


def test_a_child_whose_parent_has_ended_already_ends_at_once() -> None:
    code = "from severstal import processes; import time; processes.end_with_parent(2**22 - 1); time.sleep(600)"
    child = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT)
    assert child.returncode == -signal.SIGTERM


def test_a_stage_whose_script_was_killed_while_it_started_ends_at_once() -> None:
    code = "from severstal import processes; import time; processes.end_with_launcher(); time.sleep(600)"
    killed = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT | {processes.LAUNCHER: str(2**22 - 1)})
    assert killed.returncode == -signal.SIGTERM


def test_a_process_has_ended_when_only_its_exit_code_is_left() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as child:
        child.stdout.read()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert processes.has_ended(child.pid)
    assert processes.has_ended(2**22 - 1)
    assert not processes.has_ended(os.getpid())


def test_a_stage_ends_with_the_script_that_started_it_and_with_no_other(monkeypatch) -> None:
    watched: list[int | None] = []
    monkeypatch.setattr(processes, "end_with_parent", watched.append)
    for launcher in ("1", "", str(os.getpid())):
        monkeypatch.setenv(processes.LAUNCHER, launcher)
        processes.end_with_launcher()
    assert not watched
    monkeypatch.setenv(processes.LAUNCHER, str(os.getppid()))
    processes.end_with_launcher()
    assert watched == [os.getppid()]
