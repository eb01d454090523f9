"""ONNX Runtime, on the GPU where its CUDA build is installed, else on the CPU; reads ``model.onnx`` as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from severstal.engines.base import Engine
from severstal.engines.onnx_file import INPUT, OUTPUTS
from severstal.engines.outputs import Outputs
from severstal.errors import InputError, first_line
from severstal.experiment import Member

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # the faster one first


class OnnxRuntimeEngine(Engine):
    """A session on the GPU, or on all cores."""

    name = "onnxruntime"
    packages = ("onnxruntime",)
    device = "any"

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        available = onnxruntime.get_available_providers()
        providers = [name for name in PROVIDERS if name in available]
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its exceptions share no narrower base class
            raise InputError(f"{path} cannot be loaded ({first_line(error)}): delete it and export it again") from None

    @classmethod
    def load(cls, member: Member) -> Self:
        return cls(member.files.onnx)

    def __call__(self, strips: np.ndarray) -> Outputs:
        probability, class_probability = self._session.run(OUTPUTS, {INPUT: strips[:, None]})
        return probability, class_probability
