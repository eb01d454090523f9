"""OpenVINO on the CPU, in float32; reads ``model.onnx`` as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino

from severstal.engines.onnx_file import INPUT, OUTPUTS
from severstal.errors import InputError
from severstal.experiment import Member

if TYPE_CHECKING:
    from severstal.engines.dice_check import FoldDice

# Left alone, it computes in bfloat16 where the processor has it, and pixels flip.
CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}


def build(member: Member, fold: FoldDice | None = None) -> None:
    """Nothing to make: the ONNX file is the engine."""


def load(member: Member) -> OpenVinoEngine:
    return OpenVinoEngine.read(member.files.onnx)


class OpenVinoEngine:
    """A compiled model on all cores."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._model = compiled

    @classmethod
    def of(cls, model: openvino.Model | str) -> OpenVinoEngine:
        """Compile a model for this processor."""
        return cls(openvino.Core().compile_model(model, "CPU", CONFIG))

    @classmethod
    def read(cls, path: Path) -> OpenVinoEngine:
        """Compile a model's file.

        Raises:
            InputError: if it is missing or damaged.
        """
        try:
            return cls.of(str(path))
        except RuntimeError as error:
            what = str(error).strip().splitlines()[-1]
            raise InputError(f"{path} cannot be loaded ({what}): delete it and export it again") from None

    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = self._model({INPUT: strips[:, None]})
        return tuple(outputs[self._model.output(name)].copy() for name in OUTPUTS)
