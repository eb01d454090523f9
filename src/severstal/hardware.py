"""This machine's processor and NVIDIA GPUs; the GPUs are listed by the driver's tool, without loading CUDA."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from pathlib import Path


@cache
def gpus() -> list[dict[str, str]]:
    """Name, driver version and compute capability of each GPU; empty where there is none."""
    fields = ("name", "driver_version", "compute_cap")
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in output.strip().splitlines()]
    return [dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields)]


def gpu_count() -> int:
    """Number of NVIDIA GPUs."""
    return len(gpus())


def processor() -> str:
    """The name of the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
