"""The cores, the memory and the NVIDIA GPUs that this process may use.

Containers, batch systems and ``taskset`` leave a process fewer cores and less memory than the machine has.

GPUs are listed by the driver's tool, without loading CUDA, and reduced to those that ``CUDA_VISIBLE_DEVICES`` leaves
(numbers, UUIDs or their beginnings, MIG devices; CUDA C++ Programming Guide, "CUDA Environment Variables").
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
FIELDS = ("name", "driver_version", "compute_cap", "uuid")

# The driver's tool numbers GPUs by their bus, CUDA by their speed unless it is asked to do the same. This takes effect
# because CUDA reads it when it is first used, which is later than this import.
os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")

Gpu = dict[str, str]


def gpus() -> list[Gpu]:
    """Name, driver version, compute capability and UUID of each GPU that CUDA may use, in CUDA's order.

    Each UUID is one that ``CUDA_VISIBLE_DEVICES`` takes. The list is empty where there is no GPU or none is visible.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return installed_gpus()
    chosen: list[Gpu] = []
    for entry in visible.split(","):
        gpu = _find(entry.strip())
        if gpu is None:
            break  # CUDA ignores everything from the first unknown entry on
        if gpu in chosen:
            return []  # CUDA refuses a list that names a GPU twice
        chosen.append(gpu)
        if entry.strip().startswith("MIG-"):
            break  # CUDA uses one MIG device at most
    return chosen


def gpu_count() -> int:
    """Number of NVIDIA GPUs that CUDA may use."""
    return len(gpus())


def current_gpu() -> Gpu | None:
    """The GPU that CUDA uses in this process, or will use; None without one."""
    visible = gpus()
    uuid = _uuid_of_torch()
    return next((gpu for gpu in visible if gpu["uuid"] == uuid), visible[0] if visible else None)


@cache
def installed_gpus() -> list[Gpu]:
    """All GPUs that the driver's tool lists, in its order; empty without a driver."""
    lines = _nvidia_smi(f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader")
    rows = [line.split(", ") for line in lines]
    return [dict(zip(FIELDS, row, strict=True)) for row in rows if len(row) == len(FIELDS)]


@cache
def _mig_devices() -> list[Gpu]:
    """All MIG devices, each with the name of its GPU before its own."""
    devices, parent = [], ""
    for line in _nvidia_smi("-L"):
        found = re.search(r"^\s*(.*?):? *\(UUID: (\S+)\)", line)
        if found and found[2].startswith("GPU-"):
            parent = found[2]
        elif found:
            profile = re.sub(r"\s+Device.*", "", found[1])
            devices += [
                gpu | {"name": f"{gpu['name']} {profile}", "uuid": found[2]}
                for gpu in installed_gpus()
                if gpu["uuid"] == parent
            ]
    return devices


def _find(entry: str) -> Gpu | None:
    """The GPU or MIG device that an entry of CUDA_VISIBLE_DEVICES names; None if it names none, or several."""
    if re.fullmatch(r"\d+", entry):
        number = int(entry)
        return installed_gpus()[number] if number < len(installed_gpus()) else None
    old_mig = re.fullmatch(r"MIG-(GPU-[^/]+)/\d+/\d+", entry)  # drivers before 470: GPU, GPU instance, compute instance
    if old_mig:
        return next((gpu | {"uuid": entry} for gpu in installed_gpus() if gpu["uuid"] == old_mig[1]), None)
    known = {"GPU-": installed_gpus, "MIG-": _mig_devices}.get(entry[:4])
    matches = [gpu for gpu in known() if gpu["uuid"].startswith(entry)] if known else []
    return matches[0] if len(matches) == 1 else None


def _uuid_of_torch() -> str | None:
    """UUID of the GPU that PyTorch uses, if PyTorch uses CUDA in this process already."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return f"GPU-{properties.uuid}"


def _nvidia_smi(*arguments: str) -> list[str]:
    """The lines that the driver's tool prints; none if it is missing or fails."""
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.strip().splitlines()


def core_count() -> int:
    """Number of cores that this process may use: by its affinity and by the limits of its cgroup."""
    from joblib import cpu_count  # takes a while to import, and most stages ask for it late

    return cpu_count()


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or the least limit of its cgroup and those above it."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _cgroup_files("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such file, or the word "max"
            limits.append(int(file.read_text(encoding="utf-8")))
    return min(limits)


def _cgroup_files(name: str, name_v1: str) -> list[Path]:
    """The files of a limit, of version 2 and of version 1, that may apply to this process (man 7 cgroups)."""
    try:
        lines = (PROC / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    group = next((Path(line.removeprefix("0::/")) for line in lines if line.startswith("0::/")), Path())
    return [*(CGROUPS / folder / name for folder in (group, *group.parents)), CGROUPS / name_v1]


def thread_limit() -> int | None:
    """Threads that a network may compute with, from ``OMP_NUM_THREADS``; None for all cores.

    PyTorch reads the variable itself; OpenVINO's and ONNX Runtime's packages do not.
    """
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(text) if text.isdigit() and int(text) else None


def processor() -> str:
    """The name of the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
