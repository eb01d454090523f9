"""The builder in a process of its own: its memory is given back, its crash is an error message, its bytes repeat.

TensorRT orders some of what it writes by the addresses that its objects happen to have, so two builds of one graph in
one process differ in a thousand bytes of names and offsets. With address randomisation off and a fixed hash seed,
TensorRT-RTX gives the same bytes each time. Where the system forbids that (Docker's default profile does), the
engine is as good, and its bytes vary.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

from severstal.artifacts import replacing
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.library import library
from severstal.errors import InputError, run_stage
from severstal.paths import ROOT

NO_RANDOM_ADDRESSES = 0x0040000  # ADDR_NO_RANDOMIZE of <sys/personality.h>
CURRENT = 0xFFFFFFFF


def build_file(onnx: Path, engine: Path, profile: Profile, timing_cache: Path | None = None) -> None:
    """Build ``engine`` from ``onnx``; same arguments and errors as :func:`builder.build_plan`."""
    with replacing(engine) as temporary:
        order = [str(onnx), str(temporary), json.dumps(profile.as_json()), str(timing_cache or "")]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": "0"}
        # stderr stays the terminal's where there is one, for the bar; what went wrong comes through a pipe of its own.
        reason, told = os.pipe()
        command = [sys.executable, "-m", __name__, *order, str(told)]
        with os.fdopen(reason) as said:
            process = subprocess.Popen(command, env=environment, pass_fds=(told,))
            os.close(told)
            try:
                message, code = said.read().strip(), process.wait()
            except BaseException:
                process.kill()
                process.wait()
                raise
        if code:
            raise InputError(message or _last_words(code))


def _last_words(code: int) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    return f"TensorRT's builder {how} and gave no reason; is there memory enough, and does the driver fit?"


def fix_addresses() -> bool:
    """Turn address randomisation off for the programs that this process becomes; whether the system allowed it."""
    libc = ctypes.CDLL(None)
    return libc.personality(libc.personality(CURRENT) | NO_RANDOM_ADDRESSES) != -1


def addresses_are_fixed() -> bool:
    return bool(ctypes.CDLL(None).personality(CURRENT) & NO_RANDOM_ADDRESSES)


def main() -> None:
    onnx, engine, profile, timing_cache, told = sys.argv[1:]
    if not addresses_are_fixed() and fix_addresses():
        os.execv(sys.executable, [sys.executable, "-m", "severstal.engines.tensorrt.build_process", *sys.argv[1:]])
    try:
        plan = build_plan(
            library(),
            Path(onnx).read_bytes(),
            Profile(**json.loads(profile)),
            Path(timing_cache) if timing_cache else None,
        )
    except InputError as error:
        os.write(int(told), str(error).encode())
        sys.exit(2)
    Path(engine).write_bytes(plan)


if __name__ == "__main__":
    run_stage(main)
