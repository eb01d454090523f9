"""Buffers implemented with torch, where pycuda is not installed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from severstal.engines.tensorrt.buffers import Scratch
from severstal.errors import InputError

DTYPES = {np.uint8: torch.uint8, np.int32: torch.int32}


class TorchBuffers:
    """See :class:`buffers.Buffers`. The arithmetic is in place, because a CUDA graph must not allocate."""

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise InputError("TensorRT needs an NVIDIA GPU, and PyTorch finds none: use --engine openvino")
        self._stream = torch.cuda.Stream()
        self.scratch = Scratch(self)

    @property
    def stream(self) -> int:
        return self._stream.cuda_stream

    def current(self) -> AbstractContextManager[None]:
        return nullcontext()  # torch binds the GPU to every thread itself

    def allocate(self, shape: tuple[int, ...], dtype: type[np.generic]) -> torch.Tensor:
        return torch.empty(shape, dtype=DTYPES[dtype], device="cuda")

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()  # the array keeps the tensor alive

    def address(self, array: torch.Tensor) -> int:
        return array.data_ptr()

    def upload(self, array: torch.Tensor, host: np.ndarray) -> None:
        with torch.cuda.stream(self._stream):
            array.copy_(torch.from_numpy(host), non_blocking=True)

    def download(self, host: np.ndarray, array: torch.Tensor) -> None:
        with torch.cuda.stream(self._stream):
            torch.from_numpy(host).copy_(array, non_blocking=True)

    def fill(self, total: torch.Tensor, value: int) -> None:
        with torch.cuda.stream(self._stream):
            total.fill_(value)

    def add(self, total: torch.Tensor, probability: torch.Tensor, weight: int) -> None:
        with torch.cuda.stream(self._stream):
            total.add_(probability, alpha=weight)

    def divide(self, mean: torch.Tensor, total: torch.Tensor, divisor: int) -> None:
        with torch.cuda.stream(self._stream):
            mean.copy_(total.floor_divide_(divisor))

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # Other threads decode strips meanwhile, and their allocations would end a global capture.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            work()

        def replay() -> None:
            with torch.cuda.stream(self._stream):
                graph.replay()

        return replay

    def synchronize(self) -> None:
        self._stream.synchronize()
