"""The one exception for bad input, and how a stage ends on it: a message, exit code 2, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(Exception):
    """What a person can mend: the message names the file, the line, what is wrong and the cure."""


def first_line(error: BaseException) -> str:
    """What an error says in one line: libraries append pages to theirs."""
    return (str(error) or type(error).__name__).splitlines()[0]


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; exit with 2 on bad input or a failing disk, with 130 on Ctrl-C."""
    try:
        main()
    except InputError as error:
        sys.exit(_complain(str(error)))
    except OSError as error:
        # Disk full, no permission, a vanished mount: the system's words and the file are the whole story.
        # Outputs are written under a temporary name first (see artifacts.py), so nothing is half-written.
        sys.exit(_complain(f"{error.filename or 'input/output'}: {error.strerror or error}"))
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to go on from the last finished step", file=sys.stderr)
        sys.exit(130)


def _complain(message: str) -> int:
    # A loader's process sends its traceback along inside the message: what it complained of comes last.
    message = message.rpartition(f"{InputError.__module__}.{InputError.__name__}: ")[2]
    print(f"error: {message}", file=sys.stderr)
    return 2
