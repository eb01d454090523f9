"""The builder in a process of its own.

TensorRT's builder can crash (without a driver, or short of memory), and a crash of this child is an error message of
the stage. The child also returns the builder's memory, several GB for large networks, to the system.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from severstal.artifacts import replacing
from severstal.engines.base import BuildTimeout
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.library import library
from severstal.errors import InputError
from severstal.processes import end_with_parent

COMMAND = (sys.executable, "-P", "-m", "severstal.engines.tensorrt.build_process")
SOURCE = Path(__file__).resolve().parents[3]  # the folder that holds the package


def build_file(
    onnx: Path, engine: Path, profile: Profile, timing_cache: Path | None = None, seconds: float | None = None
) -> None:
    """Build ``engine`` from ``onnx``; see :func:`builder.build_plan`.

    Args:
        seconds: that it may take; None for any time.

    Raises:
        BuildTimeout: if the build was stopped because it took longer.
        InputError: if the builder refuses the graph, or its process crashes.
    """
    with replacing(engine) as temporary, tempfile.TemporaryDirectory() as folder:
        reason = Path(folder) / "reason.txt"
        batches = [str(batch) for batch in (profile.min_batch, profile.opt_batch, profile.max_batch)]
        arguments = [str(onnx), str(temporary), str(reason), "--batches", *batches]
        arguments += ["--parent", str(os.getpid())]
        if timing_cache:
            arguments += ["--timing-cache", str(timing_cache)]
        code = _run([*COMMAND, *arguments], seconds)
        if code:
            raise InputError(reason.read_text(encoding="utf-8") if reason.exists() else _describe_exit(code))


def _run(command: list[str], seconds: float | None) -> int:
    """The exit code of a command; elapsed seconds are shown, as a build can take minutes."""
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    if seconds is not None and seconds <= 0:
        raise BuildTimeout("its engine is not built, because the time for building is over")
    paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(command, env=environment)
    with process, tqdm(bar_format="building the engine {elapsed}", leave=False, disable=None) as clock:
        try:
            while process.poll() is None:
                clock.refresh()
                if time.monotonic() > deadline:
                    raise BuildTimeout("the build of its engine was stopped, because the time for building is over")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=min(1.0, max(deadline - time.monotonic(), 0.01)))
        except BaseException:
            process.kill()  # or a stage that is stopped would wait for the end of the build
            raise
    return process.returncode


def _describe_exit(code: int) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    return f"TensorRT's builder {how} and gave no reason; is there enough memory, and does the driver fit?"


def main() -> None:
    """Build one engine; the reason of a refusal goes to a file, and the exit code is 2 then."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("engine", type=Path)
    parser.add_argument("reason", type=Path)
    parser.add_argument("--batches", type=int, nargs=3)
    parser.add_argument("--timing-cache", type=Path)
    parser.add_argument("--parent", type=int, required=True, help="the process with which this one ends")
    options = parser.parse_args()
    end_with_parent(options.parent)
    try:
        plan = build_plan(library(), options.onnx.read_bytes(), Profile(*options.batches), options.timing_cache)
    except InputError as error:
        options.reason.write_text(str(error), encoding="utf-8")
        sys.exit(2)
    options.engine.write_bytes(plan)


if __name__ == "__main__":
    main()
