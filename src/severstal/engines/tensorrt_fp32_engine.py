"""TensorRT on an NVIDIA GPU, in float32: for networks that overflow float16."""

from functools import partial

from severstal.engines.tensorrt import engine_file
from severstal.engines.tensorrt.runtime import together

__all__ = ["build", "load", "together"]

build, load = partial(engine_file.build, "fp32"), partial(engine_file.load, "fp32")
