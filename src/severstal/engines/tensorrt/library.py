"""Full TensorRT (10.13 to 11) or TensorRT-RTX (GeForce and RTX cards): one interface, whichever is installed."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from severstal.errors import InputError


def library() -> ModuleType:
    """``tensorrt``, or ``tensorrt_rtx``, whose interface is the same.

    Raises:
        InputError: if neither is installed, naming the install line.
    """
    for name in ("tensorrt", "tensorrt_rtx"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise InputError(
        "neither tensorrt nor tensorrt_rtx is installed: run `.venv/bin/pip install -r requirements-gpu.txt`"
    )


def logger(trt: ModuleType) -> Any:
    """A logger that keeps errors for the exception they end in, and prints nothing else."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(message)

    return Log()
