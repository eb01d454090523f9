"""TensorRT on an NVIDIA GPU, convolutions in int8 and the rest in float16, kept only if the Dice stays."""

from functools import partial

from severstal.engines.tensorrt import engine_file
from severstal.engines.tensorrt.runtime import together

__all__ = ["build", "load", "together"]

build, load = partial(engine_file.build, "int8"), partial(engine_file.load, "int8")
