"""ONNX Runtime, on the GPU where its CUDA build is installed, else on the CPU; reads ``model.onnx`` as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from severstal.engines.onnx_file import INPUT, OUTPUTS
from severstal.errors import InputError
from severstal.experiment import Member

if TYPE_CHECKING:
    from severstal.engines.dice_check import FoldDice


def build(member: Member, fold: FoldDice | None = None) -> None:
    """Nothing to make: the ONNX file is the engine."""


def load(member: Member) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(str(member.files.onnx))


def providers() -> list[str]:
    """Where to run, the best first."""
    there = onnxruntime.get_available_providers()
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in there]


class OnnxRuntimeEngine:
    """A session on the GPU, or on all cores."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=providers())
        except Exception as error:  # its exceptions share no base class but this one
            raise InputError(
                f"{path} cannot be loaded ({str(error).splitlines()[0]}): delete it and export it again"
            ) from None

    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probability, class_probability = self._session.run(OUTPUTS, {INPUT: strips[:, None]})
        return probability, class_probability
