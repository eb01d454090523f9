"""The one file that imports TensorRT: ``tensorrt``, or ``tensorrt_rtx`` for GeForce and RTX cards, of one interface."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from severstal.errors import InputError

NAMES = ("tensorrt", "tensorrt_rtx")


def library() -> ModuleType:
    """The first of the two that is installed.

    Raises:
        InputError: if neither is, or if its libraries do not load, with the reason.
    """
    reasons = []
    for name in NAMES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        except (ImportError, OSError, RuntimeError) as error:  # a driver or a CUDA library that is too old
            reasons.append(f"{name} does not load ({error})")
    reason = "; ".join(reasons) or "neither tensorrt nor tensorrt_rtx is installed"
    raise InputError(f"{reason}: run `.venv/bin/pip install -r requirements-gpu.txt`")


def create_logger(trt: ModuleType) -> Any:
    """A TensorRT logger that prints nothing and collects errors in ``errors``, for the exception that follows."""

    class ErrorLogger(trt.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

    return ErrorLogger()
