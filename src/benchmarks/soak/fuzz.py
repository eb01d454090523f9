"""Damaged files of every kind that people hand in: refused in one line that names the file, or read rightly.

An attempt reads :data:`INPUTS` mutated files of one kind in a forked process with limits of time and memory. What is
accepted is compared with an oracle that shares no code with the reader (see :mod:`benchmarks.soak.fuzzed_files`).
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from benchmarks.soak.fuzzed_file import FuzzedFile, Wrong
from benchmarks.soak.fuzzed_files import KINDS
from benchmarks.soak.mutations import mutate
from benchmarks.soak.small_run import Failure, SmallRun
from severstal.errors import InputError
from severstal.paths import Paths

INPUTS = 200  # of one attempt
MAX_SECONDS = 20  # of one input
MAX_MEMORY = 2 << 30  # bytes that reading may add


def attempt(run: SmallRun, seed: int) -> None:
    """Read mutated files of one kind.

    Raises:
        Failure: naming the kind and the number of the input, for a hang, too much memory, a crash, a traceback, a
            message of several lines or without the file's name, and a file that is accepted and read wrongly.
    """
    run.rewind("report")
    kinds = list(KINDS)
    name = kinds[seed % len(kinds)]
    run.harms += INPUTS
    failures = list(fuzz(run.paths, name, seed))
    if failures:
        raise Failure("; ".join(failures[:3]))


def fuzz(paths: Paths, name: str, seed: int, inputs: int = INPUTS) -> Iterator[str]:
    """What goes wrong with the mutated files of one kind; the intact file is the first.

    Args:
        paths: a finished experiment, whose files are damaged.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(reading)
        _read_all(KINDS[name](paths), random.Random(seed), inputs, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        reports = [json.loads(line) for line in pipe]
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    for number, problem in (report for report in reports if report[1]):
        yield f"{name}, input {number}: {problem}"
    if code:
        reason = f"no end after {MAX_SECONDS} s" if code == -signal.SIGALRM else f"the process ended with {code}"
        yield f"{name}, input {len(reports)}: {reason}"


def _read_all(file: FuzzedFile, dice: random.Random, inputs: int, pipe: int) -> None:
    """The work of the forked process, which ends here."""
    code = 1
    try:
        file.load()
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MAX_MEMORY, resource.RLIM_INFINITY))
        intact = file.path.read_bytes()
        for number in range(inputs):
            data = mutate(intact, dice) if number else intact
            signal.alarm(MAX_SECONDS)
            problem = _problem(file, data, is_intact=not number)
            signal.alarm(0)
            os.write(pipe, (json.dumps([number, problem]) + "\n").encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _problem(file: FuzzedFile, data: bytes, is_intact: bool) -> str:
    """What is wrong with how a file is read; empty where nothing is."""
    file.path.write_bytes(data)
    try:
        file.check(file.read())
    except InputError as error:
        text = str(error)
        if is_intact:
            return f"the intact file is refused: {text}"
        if len(text.splitlines()) != 1 or file.path.name not in text:
            return f"the message is not one line that names {file.path.name}: {text!r}"
    except Wrong as wrong:
        return f"accepted, but {wrong}"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
    return ""
