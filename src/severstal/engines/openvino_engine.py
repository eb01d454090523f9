"""OpenVINO on the CPU, in float32; reads ``model.onnx`` as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from severstal.engines.base import Engine
from severstal.engines.onnx_file import INPUT, OUTPUTS
from severstal.engines.outputs import Outputs
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.hardware import thread_limit

if TYPE_CHECKING:
    import openvino

# By default it computes in bfloat16 where the processor has it, and pixels flip.
CONFIG: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
# By default it binds its threads to cores, counted from the first one: processes of one thread each, such as the
# workers of bin/predict_lake.sh, would all compute on that core.
FREE_THREADS = {"ENABLE_CPU_PINNING": False}


class OpenVinoEngine(Engine):
    """A compiled model on all cores, or on as many as ``OMP_NUM_THREADS`` says."""

    name = "openvino"
    packages = ("openvino",)
    device = "cpu"

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._model = compiled

    @classmethod
    def compile(cls, model: openvino.Model | str) -> Self:
        """Compile a model, or the file of that path, for this processor."""
        import openvino

        threads = thread_limit()
        limit = {} if threads is None else {"INFERENCE_NUM_THREADS": threads} | FREE_THREADS
        return cls(openvino.Core().compile_model(model, "CPU", CONFIG | limit))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Compile the model of a file.

        Raises:
            InputError: if it is missing or damaged.
        """
        try:
            return cls.compile(str(path))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(
                f"{path} cannot be loaded ({reason}): delete it and run bin/export.sh with --engine {cls.name}"
            ) from None

    @classmethod
    def load(cls, member: Member) -> Self:
        return cls.read(cls.exported(member, member.files.onnx))

    def __call__(self, strips: np.ndarray) -> Outputs:
        outputs = self._model({INPUT: strips[:, None]})
        probability, class_probability = (outputs[self._model.output(name)].copy() for name in OUTPUTS)
        return probability, class_probability
