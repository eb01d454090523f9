"""The builder in a process of its own: its memory is given back, a crash is an error message, its bytes repeat.

TensorRT orders some of what it writes by the addresses that its objects happen to have, and its threads share one
memory, so two builds of one graph in one process differ in a thousand bytes of names and offsets. TensorRT-RTX gives
the same bytes in a process with address randomisation off, always the same start (arguments, environment, hash seed),
and threads that take turns: on one core, each until it waits. Where the system forbids either (fixed addresses in
Docker's default profile, taking turns to all but root), the engine is as good, and its bytes may vary. What tells
engines apart is the sidecar, never their bytes.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from severstal.artifacts import replacing
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.library import library
from severstal.errors import InputError
from severstal.paths import ROOT

NO_RANDOM_ADDRESSES = 0x0040000  # ADDR_NO_RANDOMIZE of <sys/personality.h>
CURRENT = 0xFFFFFFFF
COMMAND = [sys.executable, "-P", "-m", "severstal.engines.tensorrt.build_process"]
# What finds the libraries and the GPU; a user's other variables shall not move the builder's memory.
KEPT = ("PATH", "HOME", "LD_", "CUDA_", "NVIDIA_", "TMPDIR")


def build_file(onnx: Path, engine: Path, profile: Profile, timing_cache: Path | None = None) -> None:
    """Build ``engine`` from ``onnx``; same arguments and errors as :func:`builder.build_plan`.

    Raises:
        InputError: also if the builder's process crashes.
    """
    engine.parent.mkdir(parents=True, exist_ok=True)
    # The builder works in a folder with names of its own, as even the length of a path moves its memory.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=engine.parent) as name:
        folder = Path(name)
        (folder / "model.onnx").symlink_to(onnx.resolve())
        (folder / "profile.json").write_text(json.dumps(profile.as_json()))
        known = timing_cache and timing_cache.exists()
        (folder / "timing.cache").write_bytes(timing_cache.read_bytes() if known else b"")
        code = _run(folder)
        if code:
            reason = folder / "error.txt"
            raise InputError(reason.read_text() if reason.exists() else _last_words(code))
        _move(folder / "engine", engine)
        if timing_cache and (folder / "timing.cache").stat().st_size:
            _move(folder / "timing.cache", timing_cache)


def _run(folder: Path) -> int:
    """The builder's exit code; the seconds are counted, as a build of minutes shall not look like one that hangs."""
    process = subprocess.Popen(COMMAND, cwd=folder, env=_environment())
    with process, tqdm(bar_format="building the engine {elapsed}", leave=False, disable=None) as clock:
        while process.poll() is None:
            clock.refresh()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
    return process.returncode


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    return kept | {"PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": "0"}


def _move(made: Path, wanted: Path) -> None:
    with replacing(wanted) as temporary:
        made.rename(temporary)


def _last_words(code: int) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    return f"TensorRT's builder {how} and gave no reason; is there memory enough, and does the driver fit?"


def fix_addresses() -> bool:
    """Turn address randomisation off for what this process becomes next; whether the system allowed it."""
    libc = ctypes.CDLL(None)
    return libc.personality(libc.personality(CURRENT) | NO_RANDOM_ADDRESSES) != -1


def allowed() -> bool:
    """Whether this system lets a process fix its addresses and take turns, so that builds repeat to the byte."""
    script = (
        "from severstal.engines.tensorrt.build_process import fix_addresses, take_turns; "
        "exit(not (fix_addresses() and take_turns()))"
    )
    return not subprocess.run([sys.executable, "-c", script], env=_environment(), check=False).returncode


def addresses_are_fixed() -> bool:
    return bool(ctypes.CDLL(None).personality(CURRENT) & NO_RANDOM_ADDRESSES)


def take_turns() -> bool:
    """Let the threads of this process, and of what it becomes next, run one at a time; whether the system allowed it.

    On its first core and of the lowest real-time priority none is interrupted by another. It costs TensorRT-RTX little:
    1.6 s an int8 engine of resnet10t instead of 1.3, 1.8 s a float32 one of resnet34 either way (medians of 10 in
    turn, 2 cores). Full TensorRT is not asked to: it times its tactics, so its bytes vary in any case.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO)))
    except PermissionError:
        return False
    return True


def main() -> None:
    try:
        trt = library()  # ahead of the new start: the first import of a module compiles it, which moves memory too
        if trt.__name__ == "tensorrt_rtx":
            take_turns()
        if not addresses_are_fixed() and fix_addresses():
            os.execv(sys.executable, COMMAND)
        profile = Profile(**json.loads(Path("profile.json").read_text()))
        plan = build_plan(trt, Path("model.onnx").read_bytes(), profile, Path("timing.cache"))
    except InputError as error:
        Path("error.txt").write_text(str(error))
        sys.exit(2)
    Path("engine").write_bytes(plan)


if __name__ == "__main__":
    main()
