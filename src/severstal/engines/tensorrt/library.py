"""The one file that imports TensorRT: ``tensorrt``, or ``tensorrt_rtx`` for GeForce and RTX cards, of one interface."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any

from severstal.errors import InputError

NAMES = ("tensorrt", "tensorrt_rtx")
TURING = 7.5  # the oldest compute capability that TensorRT from 10.13 on supports, and TensorRT-RTX if asked to
# Compute capabilities that TensorRT-RTX supports. On 9.0 (H100, H200) it refuses to load what it built there.
RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")


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


def missing_support(compute_capability: str) -> str | None:
    """Why the installed library does not run on a GPU, by its documentation; None where it does.

    Args:
        compute_capability: such as ``8.9``.
    """
    name = next((name for name in NAMES if importlib.util.find_spec(name)), None)
    if name is None:
        return "neither tensorrt nor tensorrt_rtx is installed"
    if name == "tensorrt":
        supported, documented = float(compute_capability) >= TURING, f"{TURING} or more"
    else:
        supported, documented = compute_capability in RTX_CAPABILITIES, ", ".join(RTX_CAPABILITIES)
    return (
        None if supported else f"{name} supports compute capability {documented}, and this GPU has {compute_capability}"
    )


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
