"""What an engine was built from and for, beside it as JSON: an engine fits only its library, GPU and driver.

It is compared before anything is loaded, because TensorRT answers a foreign engine with a crash as often as with an
error. It is a file of its own, not a header: other tools (``trtexec``) can still read the engine.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from severstal.artifacts import file_hash, read_json
from severstal.engines.tensorrt.builder import Profile
from severstal.errors import InputError
from severstal.hardware import current_gpu

Identity = dict[str, Any]


def machine(trt: ModuleType) -> Identity:
    """The library, the GPU and the driver."""
    gpu = current_gpu() or {}
    return {
        "library": trt.__name__,
        "version": trt.__version__,
        "gpu": gpu.get("name"),
        "compute_capability": gpu.get("compute_cap"),
        "driver": gpu.get("driver_version"),
    }


def machine_name(trt: ModuleType) -> str:
    """The same as part of a file's name, such as ``tensorrt-11.4-NVIDIA-L4-8.9-580.65``."""
    values = (str(value) for value in machine(trt).values() if value)
    return "-".join(re.sub(r"[^\w.]+", "-", value) for value in values)


def identity(trt: ModuleType, precision: str, profile: Profile, onnx: Path, weights: str) -> Identity:
    """What has to be equal for an engine to be loaded here."""
    return machine(trt) | {
        "precision": precision,
        "tf32": False,  # engines that were built before the builder turned it off are built again
        "profile": profile.as_json(),
        "onnx": file_hash(onnx),
        "weights": weights,
    }


def differences(sidecar: Path, engine: Path, expected: Identity) -> list[str]:
    """Why an engine cannot be loaded here, such as ``gpu NVIDIA T4, here NVIDIA L4``; empty where it can.

    An engine without a sidecar cannot be loaded, nor one whose content is not what was built.
    """
    if not engine.exists():
        return ["there is no engine"]
    try:
        known = read_json(sidecar, "")
    except InputError:
        return ["its sidecar is missing or damaged"]
    found = [f"{key} {known.get(key)}, here {value}" for key, value in expected.items() if known.get(key) != value]
    if not found and known.get("engine") != file_hash(engine):
        return ["the file is not the one that was built"]
    return found
