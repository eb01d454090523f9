"""Engines: from a member's folder, something that maps strips to the graph's two outputs.

``engine(strips: uint8 [N, H, W]) -> (probability: uint8 [N, 4, H, W], presence: uint8 [N, 4])``, any N from 1.

A runtime is one file here and is imported only when it is asked for. Each has ``build(member, fold)``, which makes
the runtime's own file where it has one, and ``load(member)``. One that averages where it computes has
``together(engines, weights)`` too: an engine whose answers are the weighted means of loaded engines' answers, as
``ensemble.mean_map`` makes them.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from severstal.errors import InputError
from severstal.hardware import gpu_count


class Engine(Protocol):
    """A loaded network."""

    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class Tolerance:
    """How far an engine may stray from PyTorch in float32.

    ``levels``: largest difference of a pixel's probability, of 255; ``flipped``: share of pixels, over the four
    classes, that fall on the other side of the tuned threshold.
    """

    levels: int
    flipped: float


FLOAT32 = Tolerance(levels=3, flipped=1e-4)
FLOAT16 = Tolerance(levels=26, flipped=1e-3)


@dataclass(frozen=True)
class Runtime:
    """A row of the table of engines.

    Attributes:
        packages: any of these modules will do.
        tolerance: None where precision is so low that only the Dice can judge.
        reduced: precision is below float32, so the Dice of the fold's own strips is checked.
    """

    packages: tuple[str, ...]
    install: str
    needs_gpu: bool
    tolerance: Tolerance | None
    reduced: bool = False


_TENSORRT = (("tensorrt", "tensorrt_rtx"), "pip install -r requirements-gpu.txt", True)
RUNTIMES = {
    "tensorrt": Runtime(*_TENSORRT, FLOAT16, reduced=True),
    "tensorrt-fp32": Runtime(*_TENSORRT, FLOAT32),
    "tensorrt-int8": Runtime(*_TENSORRT, None, reduced=True),
    "openvino": Runtime(("openvino",), "pip install -r requirements.txt", False, FLOAT32),
    "openvino-int8": Runtime(("nncf",), "pip install -r requirements.txt", False, None, reduced=True),
    "onnxruntime": Runtime(("onnxruntime",), "pip install -r requirements.txt", False, FLOAT32),
    "torch-fp16": Runtime(("torch",), "pip install -r requirements.txt", True, FLOAT16, reduced=True),
    "torch": Runtime(("torch",), "pip install -r requirements.txt", False, FLOAT32),
}


def choose(asked: str) -> str:
    """The engine to use: the one asked for, or TensorRT on a GPU, PyTorch in float16 on one without it, OpenVINO.

    Raises:
        InputError: if the one asked for is unknown or not installed, naming the install line.
    """
    if asked == "auto":
        if not gpu_count():
            return "openvino"
        return "tensorrt" if is_installed("tensorrt") else "torch-fp16"
    if asked not in RUNTIMES:
        raise InputError(f"no engine is called {asked!r}; there are auto, {', '.join(RUNTIMES)}")
    if not is_installed(asked):
        raise InputError(f"engine {asked} is not installed: run `.venv/bin/{RUNTIMES[asked].install}`")
    if RUNTIMES[asked].needs_gpu and not gpu_count():
        raise InputError(f"engine {asked} needs an NVIDIA GPU, and the driver reports none: use --engine openvino")
    return asked


def is_installed(name: str) -> bool:
    return any(importlib.util.find_spec(package) for package in RUNTIMES[name].packages)


def runtime(name: str) -> ModuleType:
    """The module of an engine, with ``build`` and ``load``."""
    return importlib.import_module(f"severstal.engines.{name.replace('-', '_')}_engine")
