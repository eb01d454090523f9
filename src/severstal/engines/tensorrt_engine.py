"""TensorRT on an NVIDIA GPU, in float16: the default where there is a GPU."""

from functools import partial

from severstal.engines.tensorrt import engine_file
from severstal.engines.tensorrt.runtime import together

__all__ = ["build", "load", "together"]

build, load = partial(engine_file.build, "fp16"), partial(engine_file.load, "fp16")
