"""What every stage has in common on a terminal: its options and the lines that it prints.

Options: the three folders, and one option for every value of the recipe. Lines: what was read and written, the key
number, and the time, which is kept in folds/times.json. Every stage that works on synthetic steel, or with networks
that it taught, says so, so that none of its scores is taken for one of Severstal.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

from severstal.artifacts import Artifact, read_json, write_json
from severstal.commands import command, short
from severstal.errors import InputError, did_you_mean
from severstal.paths import Paths


class StageParser(argparse.ArgumentParser):
    """Refuses abbreviations, and suggests near misses of an unknown option."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The options, all of which are known."""
        joined = self._joined(sys.argv[1:] if args is None else args)
        try:
            options, unknown = self.parse_known_args(joined, namespace)
        except InputError:  # a misspelt required option is missing and unknown: the second says more
            names = (text.split("=")[0] for text in takewhile(lambda text: text != "--", joined))
            self._refuse_unknown([name for name in names if name.startswith("--")])
            raise
        if unknown:
            # An unknown option leaves its value behind: only the option is named.
            name = next((text for text in unknown if text.startswith("--")), unknown[0]).split("=")[0]
            self._refuse_unknown([name])
        return options

    def _refuse_unknown(self, names: Sequence[str]) -> None:
        """Raise an InputError that names the first unknown one, if there is any."""
        for name in names:
            if name not in self._option_string_actions:
                kind = "option" if name.startswith("-") else "argument"
                self.error(f"unknown {kind} {name}{did_you_mean(name, self._option_string_actions)}")

    def _joined(self, args: Sequence[str]) -> list[str]:
        """The arguments with ``--input -dir`` written as ``--input=-dir``: both spellings mean the same.

        What begins with two dashes stays an option, so that a misspelt one is never taken for a value.
        """
        joined: list[str] = []
        for text in args:
            action = self._option_string_actions.get(joined[-1]) if joined else None
            is_value = re.match(r"-[^-]", text) and text not in self._option_string_actions
            if is_value and action is not None and action.nargs is None:
                joined[-1] += f"={text}"
            else:
                joined.append(text)
        return joined

    def error(self, message: str) -> NoReturn:
        """Raise an InputError in place of a page of usage."""
        raise InputError(f"{message}; --help lists what there is")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows the three folders, with a stage's docstring for its help."""
    stage_parser = StageParser(
        description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    where = stage_parser.add_argument_group("folders")
    for name in ("input", "folds", "submissions"):
        where.add_argument(f"--{name}", type=path, default=getattr(Paths(), name), metavar="DIR")
    return stage_parser


def path(text: str) -> Path:
    """A path of the command line.

    Raises:
        ArgumentTypeError: if it is empty, as an unset variable of a script is: it would mean the working folder.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty; is a variable of your script not set?")
    return Path(text)


def paths_of(options: argparse.Namespace) -> Paths:
    return Paths(options.input.resolve(), options.folds.resolve(), options.submissions.resolve())


def seconds_of(text: str) -> float:
    """Seconds of a length of time such as ``55m``, ``1h``, ``90s`` or ``1h30m``."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or not found:
        raise InputError(f"{text!r} is no length of time: write it like 55m, 90s or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def _print_line(text: str) -> None:
    """Print with one write: ``print`` may write the end of the line apart, and another process a line before it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class _Terminal(logging.Handler):
    """Prints records to ``sys.stdout`` as it is now: tests and notebooks replace it while a process runs."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _print_line(self.format(record))
        except Exception:
            self.handleError(record)


def set_up_logging() -> None:
    """Print what the library logs, from INFO up, in the form of :meth:`Stage.say`.

    :class:`Stage` calls this. A process that a stage starts (a joblib worker, a process of torchrun, an actor of Ray)
    has to call it too. A second call changes nothing.
    """
    logger = logging.getLogger("severstal")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Terminal) for handler in logger.handlers):
        terminal = _Terminal()
        terminal.setFormatter(logging.Formatter("   %(message)s"))
        logger.addHandler(terminal)


class Stage:
    """Prints the lines of one stage, all in one form."""

    def __init__(self, name: str, paths: Paths, *, is_synthetic: bool | None = None) -> None:
        """Print the first line.

        Args:
            is_synthetic: whether the strips in use are synthetic steel; by default those of ``--input`` are looked at.
        """
        self._name, self._paths = name, paths
        self._is_synthetic = paths.is_synthetic if is_synthetic is None else is_synthetic
        self._began = time.monotonic()
        self._has_written = False
        set_up_logging()
        _print_line(f"== {name}" + ("  (synthetic steel)" if self._is_synthetic else ""))

    def say(self, text: str) -> None:
        _print_line(f"   {text}")

    def say_origin(self, synthetic_origin: str) -> None:
        """Say how synthetic steel taught the networks in use, unless the first line says that all is synthetic."""
        if synthetic_origin and not self._is_synthetic:
            self.say(f"networks {synthetic_origin}")

    def read(self, *files: Path | str) -> None:
        self.say("read   " + ", ".join(short(file) for file in files))

    def wrote(self, *files: Path | str) -> None:
        self._has_written = True
        self.say("wrote  " + ", ".join(short(file) for file in files))

    def is_cached(self, artifact: Artifact, shown: Path | None = None) -> bool:
        """Whether an artifact need not be built; prints that it is cached, or why an earlier one is built again.

        Args:
            shown: the file to print; by default the artifact's record.
        """
        differences = artifact.differences()
        if not differences:
            self.cached(shown or artifact.record)
        elif artifact.record.exists():
            self.say(f"rebuild {short(shown or artifact.record)}: {'; '.join(differences)}")
        return not differences

    def cached(self, what: Path | str) -> None:
        self.say(f"cached {short(what)}")

    def done(self, *, keep_time: bool = True) -> None:
        """Say how long it took, and keep that, unless there was nothing to do or ``keep_time`` is off."""
        seconds = time.monotonic() - self._began
        if self._has_written and keep_time:
            keep(self._paths, self._name, seconds)
        self.say(f"took   {duration(seconds)}")


def keep(paths: Paths, stage: str, seconds: float) -> None:
    """Put a stage's time into the record of times, in place of an earlier one."""
    known = read_times(paths)
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(paths.times, known | {stage: {"seconds": round(seconds, 2), "finished": finished}})


def read_times(paths: Paths) -> dict[str, dict[str, Any]]:
    """Seconds and end of each stage that has run; empty before the first."""
    return read_json(paths.times, command(paths, "run_all")) if paths.times.exists() else {}


def duration(seconds: float) -> str:
    """Such as ``8 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    minutes, rest = divmod(round(seconds), 60)
    if seconds < 9.5:
        return f"{seconds:.1f} s"
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
