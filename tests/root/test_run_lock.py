"""Two runs in one folder: the second one is refused and names the first; one that was killed is no obstacle."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import ROOT

from severstal import file_lock
from severstal import run_lock as module
from severstal.errors import InputError
from severstal.file_lock import NAME, waited_lock
from severstal.run_lock import run_lock

HOLDS = """
import os, sys, time
from pathlib import Path
from severstal.run_lock import run_lock
with run_lock(Path(sys.argv[1]), sys.argv[2:]):
    if os.environ.get("FORK") and not os.fork():
        time.sleep(1)
        sys.exit()
    print("holding", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other_run(tmp_path) -> Iterator:
    """Starts another process that holds the lock of the test's folder, or of units of it."""
    started = []

    def start(*units: str, **environment: str) -> subprocess.Popen[str]:
        variables = os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment
        command = [sys.executable, "-c", HOLDS, str(tmp_path), *units]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)
        started.append(process)
        assert process.stdout.readline() == "holding\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_second_run_names_the_process_and_the_start_time_of_the_first(tmp_path, other_run) -> None:
    first = other_run()
    with pytest.raises(InputError, match=rf"is in use by .*process {first.pid} on .*, started \d{{4}}-\d\d-\d\dT"):
        run_lock(tmp_path).__enter__()


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        (["a-0"], ["a-1"], False),
        (["a-0"], ["a-1", "a-0"], True),
        (["a-0"], [], True),
        ([], ["a-0"], True),
        (["hf/a-0"], ["hf/a-0"], True),
    ],
    ids=["other units", "the same unit", "a unit, then all", "all, then a unit", "a name with a slash"],
)
def test_runs_that_write_other_units_are_allowed_side_by_side(tmp_path, other_run, first, second, refused) -> None:
    process = other_run(*first)
    if refused:
        with pytest.raises(InputError, match=f"process {process.pid} "):
            run_lock(tmp_path, second).__enter__()
        assert {file.name for file in tmp_path.iterdir()} == {f"{NAME}-hf%2Fa-0" if "/" in str(first) else
                                                              f"{NAME}-{first[0]}" if first else NAME}  # fmt: skip
    else:
        with run_lock(tmp_path, second):
            pass


def test_the_lock_of_a_killed_run_is_taken_over_and_its_temporary_files_go(tmp_path, other_run, caplog) -> None:
    caplog.set_level("INFO", logger="severstal")
    killed = other_run()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    ours = f".times.json.{os.getpid()}"
    for name in (f".folds.csv.{killed.pid}", ours, "folds.csv", ".hidden"):
        (tmp_path / name).touch()
    with run_lock(tmp_path):
        assert f"process {killed.pid} on" in caplog.text
        assert "was stopped before its end" in caplog.text
    assert {file.name for file in tmp_path.iterdir()} == {ours, "folds.csv", ".hidden"}


def test_the_lock_of_a_killed_run_goes_with_the_next_run_of_another_unit(tmp_path, other_run) -> None:
    killed, alive = other_run("a-0"), other_run("a-1")
    killed.kill()
    killed.wait()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{NAME}-strips").touch()
    with run_lock(tmp_path, ["a-2"], leftovers=[tmp_path / "cache"]):
        assert {file.name for file in tmp_path.iterdir()} == {f"{NAME}-a-1", f"{NAME}-a-2", "cache"}
        assert not list((tmp_path / "cache").iterdir())
    assert alive.poll() is None


def test_a_run_waits_for_the_processes_that_a_killed_one_left_ending(tmp_path, other_run) -> None:
    killed = other_run(FORK="1")  # its child has the lock, too, for a second
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    with run_lock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


def test_a_lock_without_a_record_is_respected(tmp_path, other_run, monkeypatch) -> None:
    monkeypatch.setattr(module, "ENDING_SECONDS", 0.2)
    other_run()
    (tmp_path / NAME).write_text("{")
    with pytest.raises(InputError, match=f"{re.escape(str(tmp_path))} is in use by another process"):
        run_lock(tmp_path).__enter__()


def test_nothing_is_left_of_a_lock_also_after_an_error(tmp_path) -> None:
    with pytest.raises(RuntimeError), run_lock(tmp_path / "new", ["a-0"]):
        raise RuntimeError
    assert not list((tmp_path / "new").iterdir())


def test_who_waits_for_a_lock_gets_it_when_its_holder_is_killed(other_run, tmp_path, monkeypatch) -> None:
    holder = other_run("strips")
    monkeypatch.setattr(file_lock.logger, "info", lambda *_: holder.kill())
    with waited_lock(tmp_path, "strips"):
        assert holder.wait() == -signal.SIGKILL
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_costs_a_line_and_no_more(tmp_path, monkeypatch, caplog) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(module.fcntl, "flock", flock)
    with run_lock(tmp_path), run_lock(tmp_path, ["a-0"]), waited_lock(tmp_path, "b"), waited_lock(tmp_path, "b"):
        pass
    assert "has no locks (No locks available)" in caplog.text


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        run_lock(Path(tmp_path / "file")).__enter__()
