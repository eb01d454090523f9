"""The exception for bad input, and how a stage ends on it: a message, exit code 2, no traceback."""

from __future__ import annotations

import difflib
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from severstal.processes import end_with_launcher


class InputError(Exception):
    """An error that the user can correct: the message names the file, the line, what is wrong, and the cure."""


class EngineRefused(InputError):
    """An engine's answers differ too much from PyTorch's, or cost too much Dice."""


class Terminated(KeyboardInterrupt):
    """SIGTERM (``kill``, ``timeout``, a batch system) or SIGHUP (a closed terminal): both stop as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.exit_code = 128 + number  # as shells count it


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type; libraries write pages into their messages."""
    return (str(error) or type(error).__name__).splitlines()[0]


def describe_system_error(error: OSError) -> str:
    """File and reason, such as ``folds/oof.npz: No space left on device``."""
    return f"{error.filename or 'input/output'}: {error.strerror or error}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the names most like an unknown one, such as `` (did you mean epochs?)``; empty without any."""
    similar = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(similar)}?)" if similar else ""


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; exit with code 2 on bad input or a failing disk, with 130 on Ctrl-C, 143 on SIGTERM."""
    end_with_launcher()
    try:
        with _stopped_by_signals():
            main()
    except InputError as error:
        sys.exit(_report(str(error)))
    except OSError as error:
        # A full disk, a missing permission, a lost mount: the system's message and the file say everything.
        # Files are written under a temporary name first (see artifacts.py), so none is incomplete.
        sys.exit(_report(describe_system_error(error)))
    except KeyboardInterrupt as stop:
        print("\nstopped; run the same command again to go on from the last finished step", file=sys.stderr)
        sys.exit(stop.exit_code if isinstance(stop, Terminated) else 130)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise :class:`Terminated`: temporary files and locks go, and started processes are ended."""

    def stop(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
        raise Terminated(number)

    def raise_again(ignored: Any) -> None:
        """Python drops an exception that a destructor or a callback of C code raises: the signal is sent once more."""
        if not isinstance(ignored.exc_value, Terminated):
            report_ignored(ignored)
            return
        number = ignored.exc_value.number
        signal.signal(number, stop)
        # when the destructor has ended; to the main thread, so that it also ends a call that waits
        threading.Timer(0.1, signal.pthread_kill, [threading.main_thread().ident, number]).start()

    earlier = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    report_ignored, sys.unraisablehook = sys.unraisablehook, raise_again
    try:
        for number, handler in earlier.items():
            if handler == signal.SIG_DFL:  # nohup ignores SIGHUP
                signal.signal(number, stop)
        yield
    finally:
        sys.unraisablehook = report_ignored
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _report(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
