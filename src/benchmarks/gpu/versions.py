"""What the figures were taken with: the GPU, the driver, the libraries and the commit."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = (
    "torch", "timm", "segmentation-models-pytorch", "albumentations", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu",
    "onnxsim", "openvino", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-rtx", "pycuda",
)  # fmt: skip


def main() -> None:
    facts: dict[str, object] = {"python": platform.python_version(), "commit": commit(), "cuda": torch.version.cuda}
    facts["packages"] = {name: found for name in PACKAGES if (found := installed(name))}
    name = platform.processor() or platform.machine()
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        name = properties.name
        facts |= {
            "compute_capability": f"{properties.major}.{properties.minor}",
            "cudnn": torch.backends.cudnn.version(),
        }
        facts["memory_gib"] = round(properties.total_memory / 2**30, 1)
    facts |= {"device": name, "summary": f"{name}, PyTorch {torch.__version__}, commit {facts['commit']}"}
    print(json.dumps(facts))


def installed(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """The commit of this checkout, ``unknown`` outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    main()
