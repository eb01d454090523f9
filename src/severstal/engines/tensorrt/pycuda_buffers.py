"""Buffers implemented with pycuda in the device's primary context, which torch uses too: prediction needs no PyTorch.

``pycuda.autoinit`` would create a context of its own, in which TensorRT's and torch's pointers are invalid. pycuda
records no CUDA graphs and compiles through ``nvcc``; NVIDIA's own bindings (``cuda-bindings``) do both without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from severstal.engines.tensorrt.buffers import Scratch
from severstal.errors import InputError, first_line

THREADS = 256

KERNELS = r"""
extern "C" __global__ void add(int *total, const unsigned char *probability, int weight, int count)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) total[i] += weight * probability[i];
}

extern "C" __global__ void divide(unsigned char *mean, const int *total, int divisor, int count)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) mean[i] = total[i] / divisor;
}
"""


class PycudaBuffers:
    """See :class:`buffers.Buffers`."""

    def __init__(self) -> None:
        try:
            import pycuda.autoprimaryctx
            import pycuda.driver as cuda
        except Exception as error:  # ImportError without a driver, pycuda's own without a GPU
            raise InputError(
                f"TensorRT needs an NVIDIA GPU, and pycuda finds none ({first_line(error)}): use --engine openvino"
            ) from None
        self._cuda, self._context = cuda, pycuda.autoprimaryctx.context
        self._stream = cuda.Stream()
        self.scratch = Scratch(self)
        module = cuda.module_from_buffer(compile_kernels(pycuda.autoprimaryctx.device.compute_capability()))
        self._add = module.get_function("add").prepare("PPii")
        self._divide = module.get_function("divide").prepare("PPii")
        self._sizes: dict[int, int] = {}

    @property
    def stream(self) -> int:
        return self._stream.handle

    @contextmanager
    def current(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()  # a thread that ends with a context on its stack aborts the process

    def allocate(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
        count = int(np.prod(shape))
        array = self._cuda.mem_alloc(max(1, count) * np.dtype(dtype).itemsize)
        self._sizes[int(array)] = count
        return array

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._cuda.pagelocked_empty(shape, np.uint8)

    def address(self, array: Any) -> int:
        return int(array)

    def upload(self, array: Any, host: np.ndarray) -> None:
        self._cuda.memcpy_htod_async(array, host, self._stream)

    def download(self, host: np.ndarray, array: Any) -> None:
        self._cuda.memcpy_dtoh_async(host, array, self._stream)

    def fill(self, total: Any, value: int) -> None:
        self._cuda.memset_d32_async(total, value, self._sizes[int(total)], self._stream)

    def add(self, total: Any, probability: Any, weight: int) -> None:
        self._launch(self._add, total, probability, weight)

    def divide(self, mean: Any, total: Any, divisor: int) -> None:
        self._launch(self._divide, mean, total, divisor)

    def _launch(self, kernel: Any, target: Any, source: Any, number: int) -> None:
        count = self._sizes[int(target)]
        grid = (-(-count // THREADS), 1)
        kernel.prepared_async_call(grid, (THREADS, 1, 1), self._stream, target, source, number, count)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        from cuda.bindings import driver

        # Thread-local: other threads may allocate meanwhile.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        _checked(driver.cuStreamBeginCapture(self.stream, mode))
        try:
            work()
        finally:
            graph = _checked(driver.cuStreamEndCapture(self.stream))
        executable = _checked(driver.cuGraphInstantiate(graph, 0))
        _checked(driver.cuGraphDestroy(graph))
        return lambda: _checked(driver.cuGraphLaunch(executable, self.stream))

    def synchronize(self) -> None:
        self._stream.synchronize()


def compile_kernels(compute_capability: tuple[int, int]) -> bytes:
    """Machine code of the two kernels; NVRTC compiles without a GPU."""
    from cuda.bindings import nvrtc

    program = _checked(nvrtc.nvrtcCreateProgram(KERNELS.encode(), b"sums.cu", 0, [], []))
    architecture = "".join(map(str, compute_capability))
    _checked(nvrtc.nvrtcCompileProgram(program, 1, [f"--gpu-architecture=sm_{architecture}".encode()]))
    code = b" " * _checked(nvrtc.nvrtcGetCUBINSize(program))
    _checked(nvrtc.nvrtcGetCUBIN(program, code))
    _checked(nvrtc.nvrtcDestroyProgram(program))
    return code


def _checked(result: tuple[Any, ...]) -> Any:
    """The value in the result of cuda-bindings, whose first part is an error code.

    Raises:
        RuntimeError: if the code is not 0.
    """
    code, *values = result
    if int(code):
        raise RuntimeError(f"CUDA refused a call: {code.name}")
    return values[0] if values else None
