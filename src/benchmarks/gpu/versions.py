"""What the figures were taken with: the GPU, the driver, the libraries, the commit and the day."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from severstal.hardware import current_gpu, processor

PACKAGES = (
    "torch", "timm", "segmentation-models-pytorch", "albumentations", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu",
    "onnxsim", "openvino", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-rtx", "pycuda",
)  # fmt: skip


def main() -> None:
    facts = {
        "date": date.today().isoformat(),
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
    }
    device = gpu_facts() if torch.cuda.is_available() else {"device": processor()}
    driver = f", driver {device['driver']}" if "driver" in device else ""
    versions = f"Python {facts['python']}, PyTorch {torch.__version__}, commit {facts['commit']}, {facts['date']}"
    print(json.dumps(facts | device | {"summary": f"{device['device']}{driver}, {versions}"}))
    if sys.argv[1] == "cuda" and not torch.cuda.is_available():
        build = f"its build is for CUDA {torch.version.cuda}" if torch.version.cuda else "its build is for the CPU"
        sys.exit(f"PyTorch {torch.__version__} finds no NVIDIA GPU: {build}. --stand-in runs the steps without one")


def gpu_facts() -> dict[str, object]:
    """The GPU that PyTorch uses, and what belongs to it."""
    properties = torch.cuda.get_device_properties(0)
    return {
        "device": properties.name,
        "driver": (current_gpu() or {}).get("driver_version", "unknown"),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_gib": round(properties.total_memory / 2**30, 1),
    }


def installed(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """The commit of this checkout, with ``-dirty`` where files were changed since; ``unknown`` outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    main()
