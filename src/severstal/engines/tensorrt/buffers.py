"""Memory and streams on the GPU: the few calls that the runtime needs, answered by pycuda or by torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Protocol

import numpy as np

Array = Any  # a DeviceAllocation of pycuda, or a tensor of torch


class Buffers(Protocol):
    """Calls are queued on one stream and return at once, but for ``synchronize``.

    Attributes:
        stream: the stream's handle, for TensorRT.
    """

    stream: int

    def current(self) -> AbstractContextManager[None]:
        """The GPU made this thread's: engines are loaded in one thread and may be called from others."""

    def device(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Array:
        """Memory on the GPU, its content undefined."""

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        """Page-locked ``uint8`` memory of the host: a copy from any other waits for the CPU."""

    def address(self, array: Array) -> int: ...

    def upload(self, array: Array, host: np.ndarray) -> None: ...

    def download(self, host: np.ndarray, array: Array) -> None: ...

    def fill(self, total: Array, value: int) -> None:
        """Set every element of an ``int32`` array."""

    def add(self, total: Array, probability: Array, weight: int) -> None:
        """``total += weight * probability``; ``int32`` and ``uint8`` of one shape."""

    def divide(self, mean: Array, total: Array, divisor: int) -> None:
        """``mean = total // divisor``; ``uint8`` and ``int32`` of one shape."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """A CUDA graph of what ``work`` queues; calling it queues all of that again in one go. Nothing is run yet."""

    def synchronize(self) -> None: ...


@cache
def buffers() -> Buffers:
    """pycuda's where it is installed, which needs no PyTorch, else torch's. One for the process: engines share it.

    Raises:
        InputError: if there is no GPU.
    """
    if importlib.util.find_spec("pycuda"):
        from severstal.engines.tensorrt.pycuda_buffers import PycudaBuffers

        return PycudaBuffers()
    from severstal.engines.tensorrt.torch_buffers import TorchBuffers

    return TorchBuffers()
