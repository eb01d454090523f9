"""What an engine was built from and for, beside it as JSON: an engine fits only its library, GPU and driver.

It is compared before anything is loaded, because TensorRT answers a foreign engine with a crash as often as with an
error. It is a file of its own, not a header: other tools (``trtexec``) can still read the engine.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from severstal.artifacts import file_hash
from severstal.engines.tensorrt.builder import Profile
from severstal.hardware import current_gpu


def machine(trt: ModuleType) -> dict[str, Any]:
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


def identity(trt: ModuleType, precision: str, profile: Profile, onnx: Path, weights: str) -> dict[str, Any]:
    """What has to be equal for an engine to be loaded here."""
    return machine(trt) | {
        "precision": precision,
        "tf32": False,  # engines that were built before the builder turned it off are built again
        "profile": profile.as_json(),
        "onnx": file_hash(onnx),
        "weights": weights,
    }
