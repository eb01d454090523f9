"""How a stage ends: one line and an exit code, never a traceback for what the user can correct."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable

import pytest

from severstal.artifacts import replacing
from severstal.errors import InputError, first_line, run_stage
from severstal.run_lock import run_lock


def raising(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("train.csv, line 3: correct the row"), 2, "error: train.csv, line 3: correct the row"),
        (
            OSError(errno.ENOSPC, "No space left on device", "folds/oof.npz"),
            2,
            "error: folds/oof.npz: No space left on device",
        ),
        (KeyboardInterrupt(), 130, "stopped; run the same command again"),
    ],
    ids=["bad input", "full disk", "Ctrl-C"],
)
def test_a_stage_ends_with_a_message_and_an_exit_code(error, code, message, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_stage(raising(error))
    assert stopped.value.code == code
    assert capsys.readouterr().err.strip().startswith(message)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_stage_that_is_told_to_stop_leaves_no_temporary_file_and_no_lock(tmp_path, capsys, number, code) -> None:
    def main() -> None:
        with run_lock(tmp_path), replacing(tmp_path / "weights") as temporary:
            temporary.touch()
            os.kill(os.getpid(), number)

    found = signal.signal(number, signal.SIG_DFL)  # Ray, started by another test, leaves a handler of its own
    try:
        with pytest.raises(SystemExit) as stopped:
            run_stage(main)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, found)
    assert stopped.value.code == code
    assert "stopped; run the same command again" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_stage_stops_also_where_a_destructor_swallows_the_exception() -> None:
    class Swallows:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)  # the signal's handler raises here

    def main() -> None:
        del (swallows := [Swallows()])[0]
        assert not swallows
        time.sleep(10)
        raise AssertionError("the stage was not stopped")

    found = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as stopped:
            run_stage(main)
    finally:
        signal.signal(signal.SIGTERM, found)
    assert stopped.value.code == 143


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_stage(raising(ZeroDivisionError()))


def test_the_first_line_of_an_error_is_its_summary() -> None:
    assert first_line(ValueError("no such node\nat line 5\n...")) == "no such node"
    assert first_line(ValueError()) == "ValueError"
