"""TensorRT or TensorRT-RTX on an NVIDIA GPU, in three precisions. ``tensorrt/`` holds the parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from severstal.engines.base import FLOAT16, FLOAT32, Engine, Precision, Tolerance
from severstal.engines.outputs import Outputs, Predict
from severstal.experiment import Member

if TYPE_CHECKING:
    from severstal.engines.dice_check import FoldScorer
    from severstal.engines.tensorrt.engine_file import EngineFile
    from severstal.engines.tensorrt.runtime import Runner


class TensorRTEngine(Engine):
    """TensorRT in float16: the default on a machine with a GPU."""

    name = "tensorrt"
    packages = ("tensorrt", "tensorrt_rtx")
    install = "pip install -r requirements-gpu.txt"
    device = "gpu"
    precision: ClassVar[Precision] = "fp16"
    tolerance: ClassVar[Tolerance | None] = FLOAT16
    averages_on_device = True

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @classmethod
    def build(cls, member: Member, fold: FoldScorer | None = None) -> None:
        cls._file(member).build(fold)

    @classmethod
    def own_files(cls, member: Member) -> tuple[Path, ...]:
        files = member.files
        built = files.engine(cls.name), files.build_record(cls.name)
        return *built, files.converted_onnx(cls.name), files.float32_layers(cls.name)

    @classmethod
    def load(cls, member: Member) -> Self:
        """Load the engine, building it again where it does not fit this machine."""
        return cls(cls._file(member).load())

    @classmethod
    def load_within(cls, member: Member, build_seconds: float) -> Self:
        return cls(cls._file(member).load(build_seconds))

    def __call__(self, strips: np.ndarray) -> Outputs:
        return self._runner(strips)

    @classmethod
    def average(cls, engines: Sequence[TensorRTEngine], weights: Sequence[int]) -> Predict:
        from severstal.engines.tensorrt.runtime import join

        return join([engine._runner for engine in engines], weights)

    @classmethod
    def _file(cls, member: Member) -> EngineFile:
        from severstal.engines.tensorrt.engine_file import EngineFile

        return EngineFile(member, cls.name, cls.precision)


class TensorRTFloat32Engine(TensorRTEngine):
    """TensorRT in float32: for networks that overflow float16."""

    name = "tensorrt-fp32"
    precision = "fp32"
    tolerance = FLOAT32


class TensorRTInt8Engine(TensorRTEngine):
    """TensorRT with convolutions in int8 and the rest in float16."""

    name = "tensorrt-int8"
    precision = "int8"
    tolerance = None
