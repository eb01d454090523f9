"""The engines by name. Adding one: write its file, and add its line to ``CLASSES``."""

from __future__ import annotations

import importlib
import logging

from severstal.engines.base import Engine
from severstal.engines.tensorrt.library import missing_support
from severstal.errors import InputError
from severstal.hardware import gpu_count, gpus

# Module and class of each engine. Modules are imported when they are asked for.
CLASSES = {
    "tensorrt": "tensorrt_engine.TensorRTEngine",
    "tensorrt-fp32": "tensorrt_engine.TensorRTFloat32Engine",
    "tensorrt-int8": "tensorrt_engine.TensorRTInt8Engine",
    "openvino": "openvino_engine.OpenVinoEngine",
    "openvino-int8": "openvino_int8_engine.OpenVinoInt8Engine",
    "onnxruntime": "onnxruntime_engine.OnnxRuntimeEngine",
    "torch-fp16": "torch_fp16_engine.TorchFloat16Engine",
    "torch": "torch_engine.TorchEngine",
}
NAMES = tuple(CLASSES)
OPTION_HELP = f"auto, {', '.join(NAMES)}"

logger = logging.getLogger(__name__)


def engine_class(name: str) -> type[Engine]:
    """The class of an engine.

    Raises:
        InputError: if no engine has this name.
    """
    if name not in CLASSES:
        raise InputError(f"there is no engine {name!r}; choose auto, {', '.join(NAMES)}")
    module, _, attribute = CLASSES[name].partition(".")
    found: type[Engine] = getattr(importlib.import_module(f"severstal.engines.{module}"), attribute)
    return found


def is_installed(name: str) -> bool:
    """Whether one of the packages of this engine is installed."""
    return engine_class(name).is_installed()


def choose(requested: str) -> str:
    """The name of the engine to use.

    ``auto`` is TensorRT on a machine with a GPU that it supports, PyTorch in float16 on any other GPU, else OpenVINO.

    Raises:
        InputError: if the requested engine is unknown, not installed (naming the install command), or needs a GPU
            that this machine does not have.
    """
    if requested == "auto":
        return _automatic()
    if not is_installed(requested):
        raise InputError(f"engine {requested} is not installed: run `.venv/bin/{engine_class(requested).install}`")
    if engine_class(requested).needs_gpu() and not gpu_count():
        raise InputError(f"engine {requested} needs an NVIDIA GPU, and the driver reports none: use --engine openvino")
    return requested


def _automatic() -> str:
    if not gpu_count():
        return "openvino"
    reason = missing_support(gpus()[0]["compute_cap"])
    if reason is None:
        return "tensorrt"
    logger.warning("engine torch-fp16: %s", reason)
    return "torch-fp16"
