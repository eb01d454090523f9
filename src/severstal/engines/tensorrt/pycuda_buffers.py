"""Device memory, copies and arithmetic for TensorRT through pycuda, so that inference needs no PyTorch.

The same few calls as ``torch_buffers``. pycuda works in the device's primary context, the one that PyTorch and
TensorRT use too; a context of its own would not see their memory.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pycuda.autoprimaryctx  # noqa: F401  makes the primary context current for as long as the process lives
import pycuda.driver as cuda
from pycuda.elementwise import ElementwiseKernel
from pycuda.gpuarray import GPUArray


class Buffers:
    """A stream and what runs on it, in order, without the host waiting."""

    can_capture = False  # pycuda offers no CUDA graphs

    def __init__(self) -> None:
        self._stream = cuda.Stream()
        self.handle: int = self._stream.handle
        self._add = ElementwiseKernel("int *total, unsigned char *maps, int weight", "total[i] += weight * maps[i]")
        self._divide = ElementwiseKernel("unsigned char *out, int *total, int divisor", "out[i] = total[i] / divisor")

    def device(self, shape: tuple[int, ...], dtype: str) -> GPUArray:
        """Device memory of a NumPy dtype's name."""
        return GPUArray(shape, np.dtype(dtype))

    def host(self, shape: tuple[int, ...]) -> np.ndarray:
        """Pinned ``uint8`` memory of the host: copies from and to it run beside the GPU."""
        return cuda.pagelocked_empty(shape, np.uint8)

    def pointer(self, buffer: GPUArray) -> int:
        return int(buffer.gpudata)

    def upload(self, buffer: GPUArray, host: np.ndarray) -> None:
        cuda.memcpy_htod_async(buffer.gpudata, host, self._stream)

    def download(self, host: np.ndarray, buffer: GPUArray) -> None:
        cuda.memcpy_dtoh_async(host, buffer.gpudata, self._stream)

    def fill(self, total: GPUArray, value: int) -> None:
        """Set every element."""
        cuda.memset_d32_async(total.gpudata, value, total.size, self._stream)

    def add(self, total: GPUArray, maps: GPUArray, weight: int) -> None:
        """``total += weight * maps`` of ``int32`` and ``uint8``."""
        self._add(total, maps, np.int32(weight), stream=self._stream)

    def divide(self, out: GPUArray, total: GPUArray, divisor: int) -> None:
        """``out = total // divisor``, back to ``uint8``."""
        self._divide(out, total, np.int32(divisor), stream=self._stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Without graphs, the work itself."""
        return work

    def synchronize(self) -> None:
        self._stream.synchronize()
