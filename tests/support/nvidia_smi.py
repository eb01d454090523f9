"""A stand-in for the NVIDIA driver's tool, which prints the GPUs of an imagined machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from severstal import hardware

A100, T4_FIRST, T4_SECOND = "GPU-5d5ba0d6-aaaa", "GPU-77777777-bbbb", "GPU-77777777-cccc"
MIG = "MIG-41111111-dddd"

SCRIPT = f"""#!/bin/sh
if [ "$1" = -L ]; then
  echo "GPU 0: NVIDIA A100-SXM4-40GB (UUID: {A100})"
  echo "  MIG 1g.5gb      Device  0: (UUID: {MIG})"
  echo "GPU 1: Tesla T4 (UUID: {T4_FIRST})"
  echo "GPU 2: Tesla T4 (UUID: {T4_SECOND})"
else
  echo "NVIDIA A100-SXM4-40GB, 580.65.06, 8.0, {A100}"
  echo "Tesla T4, 580.65.06, 7.5, {T4_FIRST}"
  echo "Tesla T4, 580.65.06, 7.5, {T4_SECOND}"
fi
"""


def install_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-in before everything else on the PATH, and forget the GPUs of this machine."""
    tool = folder / "nvidia-smi"
    tool.write_text(SCRIPT)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    forget_gpus()


def forget_gpus() -> None:
    """Make the next question for GPUs run the tool again."""
    hardware.installed_gpus.cache_clear()
    hardware._mig_devices.cache_clear()
