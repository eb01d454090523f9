"""The exception for bad input, and how a stage ends on it: a message, exit code 2, no traceback."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable


class InputError(Exception):
    """An error that the user can correct: the message names the file, the line, what is wrong, and the cure."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type; libraries write pages into their messages."""
    return (str(error) or type(error).__name__).splitlines()[0]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the names most like an unknown one, such as `` (did you mean epochs?)``; empty without any."""
    similar = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(similar)}?)" if similar else ""


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; exit with code 2 on bad input or a failing disk, with 130 on Ctrl-C."""
    try:
        main()
    except InputError as error:
        sys.exit(_report(str(error)))
    except OSError as error:
        # A full disk, a missing permission, a lost mount: the system's message and the file say everything.
        # Files are written under a temporary name first (see artifacts.py), so none is incomplete.
        sys.exit(_report(f"{error.filename or 'input/output'}: {error.strerror or error}"))
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to go on from the last finished step", file=sys.stderr)
        sys.exit(130)


def _report(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
