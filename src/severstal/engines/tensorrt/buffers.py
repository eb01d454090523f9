"""Memory and streams on the GPU: the few calls that the runtime needs, implemented with pycuda or with torch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

Array = Any  # a DeviceAllocation of pycuda, or a tensor of torch


class Buffers(Protocol):
    """Memory on the GPU and one stream. Calls enqueue work and return at once, except for ``synchronize``.

    Attributes:
        scratch: the memory that engines use while they run.
    """

    scratch: Scratch

    @property
    def stream(self) -> int:
        """The stream's handle, for TensorRT."""

    def current(self) -> AbstractContextManager[None]:
        """Bind the GPU to the calling thread: engines are loaded in one thread and may be called from others."""

    def allocate(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Array:
        """Memory on the GPU with undefined content."""

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        """Page-locked ``uint8`` memory of the host: copies from and to any other memory are synchronous."""

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
        """Record what ``work`` enqueues as a CUDA graph, without running it.

        Returns:
            A function that enqueues the recorded work in one launch.
        """

    def synchronize(self) -> None: ...


class Scratch:
    """Memory that engines use while they run: one block for all of them, because they run one after another."""

    def __init__(self, buffers: Buffers) -> None:
        self._buffers = buffers
        self._block: Array = None
        self._size = 0

    def block(self, size: int) -> Array:
        """A block of at least ``size`` bytes.

        A larger request replaces the block. The earlier one is freed with the last reference to it: a CUDA graph that
        was recorded with it has to keep one.
        """
        if size > self._size:
            self._block, self._size = self._buffers.allocate((size,), np.uint8), size
        return self._block
