"""ONNX Runtime, on the GPU where its CUDA build is installed, else on the CPU; reads ``model.onnx`` as it is."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from severstal.engines.base import Engine
from severstal.engines.onnx_file import INPUT, OUTPUTS
from severstal.engines.outputs import Outputs
from severstal.errors import InputError, first_line
from severstal.experiment import Member
from severstal.hardware import gpu_count, thread_limit

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
CUDA_OPTIONS = {"use_tf32": 0}  # the default is 1, and this engine is compared in float32's tolerance

logger = logging.getLogger(__name__)


class OnnxRuntimeEngine(Engine):
    """A session on the GPU, or on all cores, or on as many as ``OMP_NUM_THREADS`` says."""

    name = "onnxruntime"
    packages = ("onnxruntime",)
    device = "any"

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = thread_limit() or 0  # 0: all cores
        providers = _providers(onnxruntime)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its exceptions share no narrower base class
            cure = f"delete it and run bin/export.sh with --engine {self.name}"
            raise InputError(f"{path} cannot be loaded ({first_line(error)}): {cure}") from None

        if gpu_count() and CUDA not in self._session.get_providers():
            _warn_of_cpu(CUDA in onnxruntime.get_available_providers())

    @classmethod
    def load(cls, member: Member) -> Self:
        return cls(cls.exported(member, member.files.onnx))

    @classmethod
    def runs_on_gpu(cls) -> bool:
        """Whether there is a GPU and the installed build is the one for CUDA."""
        if not super().runs_on_gpu() or not cls.is_installed():
            return False
        import onnxruntime

        return CUDA in onnxruntime.get_available_providers()

    def __call__(self, strips: np.ndarray) -> Outputs:
        probability, class_probability = self._session.run(OUTPUTS, {INPUT: strips[:, None]})
        return probability, class_probability


def _providers(onnxruntime: ModuleType) -> list[Any]:
    """The execution providers of the installed build, the faster one first."""
    if CUDA not in onnxruntime.get_available_providers():
        return [CPU]
    # Finds CUDA's and cuDNN's libraries in the packages that PyTorch depends on; without it CUDA fails to load.
    onnxruntime.preload_dlls()
    return [(CUDA, CUDA_OPTIONS), CPU]


@cache
def _warn_of_cpu(has_cuda_build: bool) -> None:
    """Warn once per process: ONNX Runtime falls back to the CPU without an error."""
    reason = "its CUDA provider did not load" if has_cuda_build else "the installed build has no CUDA provider"
    cure = "do CUDA and cuDNN fit it?" if has_cuda_build else "replace the package by onnxruntime-gpu"
    logger.warning("ONNX Runtime runs on the CPU although there is a GPU: %s; %s", reason, cure)
