"""Device memory, copies and arithmetic for TensorRT through PyTorch. The same few calls as ``pycuda_buffers``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch


class Buffers:
    """A stream and what runs on it, in order, without the host waiting."""

    can_capture = True

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self.handle: int = self._stream.cuda_stream

    def device(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        """Device memory of a NumPy dtype's name."""
        return torch.empty(shape, dtype=getattr(torch, dtype), device="cuda")

    def host(self, shape: tuple[int, ...]) -> np.ndarray:
        """Pinned ``uint8`` memory of the host: copies from and to it run beside the GPU."""
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()

    def pointer(self, buffer: torch.Tensor) -> int:
        return buffer.data_ptr()

    def upload(self, buffer: torch.Tensor, host: np.ndarray) -> None:
        with torch.cuda.stream(self._stream):
            buffer[: len(host)].copy_(torch.from_numpy(host), non_blocking=True)

    def download(self, host: np.ndarray, buffer: torch.Tensor) -> None:
        with torch.cuda.stream(self._stream):
            torch.from_numpy(host).copy_(buffer[: len(host)], non_blocking=True)

    def fill(self, total: torch.Tensor, value: int) -> None:
        """Set every element."""
        with torch.cuda.stream(self._stream):
            total.fill_(value)

    def add(self, total: torch.Tensor, maps: torch.Tensor, weight: int) -> None:
        """``total += weight * maps`` of ``int32`` and ``uint8``."""
        with torch.cuda.stream(self._stream):
            total.add_(maps, alpha=weight)

    def divide(self, out: torch.Tensor, total: torch.Tensor, divisor: int) -> None:
        """``out = total // divisor``, back to ``uint8``."""
        with torch.cuda.stream(self._stream):
            out.copy_(torch.div(total, divisor, rounding_mode="floor"))

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what ``work`` puts on the stream as a CUDA graph; calling the result runs it all in one launch."""
        self.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            work()

        def replay() -> None:
            with torch.cuda.stream(self._stream):
                graph.replay()

        return replay

    def synchronize(self) -> None:
        self._stream.synchronize()
