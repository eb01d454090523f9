"""Engines of an ensemble on one GPU: maps are accumulated there, and only their mean comes back.

For the batch that engines were tuned for, the whole ensemble is one CUDA graph: one launch in place of some
hundred per member. A smaller last batch runs member by member.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from severstal.engines.tensorrt.library import logger
from severstal.errors import InputError
from severstal.gpu import gpu_count
from severstal.graph import INPUT, OUTPUTS

PLAIN_BATCHES = 3  # run member by member first: each is timed, and TensorRT allocates what a graph may not


def buffers() -> Any:
    """Through pycuda where it is installed, else through PyTorch."""
    if importlib.util.find_spec("pycuda"):
        from severstal.engines.tensorrt.pycuda_buffers import Buffers
    else:
        from severstal.engines.tensorrt.torch_buffers import Buffers
    return Buffers()


class Session:
    """One engine, its tensors bound by name."""

    def __init__(self, trt: ModuleType, path: Path, stream: int) -> None:
        if not gpu_count():
            # Where there is no GPU, full TensorRT's Runtime ends the process instead of raising.
            raise InputError(f"{path} needs an NVIDIA GPU, and the driver reports none: use --engine openvino")
        self._stream, self._runtime = stream, trt.Runtime(logger(trt))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise InputError(f"{path} cannot be loaded on this GPU: delete it and run `bash bin/export.sh`")
        self._context = self._engine.create_execution_context()
        self.shape: tuple[int, ...] = tuple(self._engine.get_tensor_shape(INPUT))[1:]

    def bind(self, addresses: dict[str, int]) -> None:
        """Give every input and output tensor its device memory."""
        for name, address in addresses.items():
            self._context.set_tensor_address(name, address)

    def enqueue(self, batch: int) -> None:
        """Put a run over the first ``batch`` strips of the input buffer on the stream."""
        self._context.set_input_shape(INPUT, (batch, *self.shape))
        if not self._context.execute_async_v3(self._stream):
            raise RuntimeError("TensorRT refused to run the engine; its log has the reason")


class GpuEnsemble:
    """What :class:`severstal.prediction.Ensemble` is on the host: the same results, bit for bit.

    Args:
        sessions: engines bound to no memory yet.
        weights: whole numbers, one per engine.
        largest: strips per run; more go in parts.
        memory: a ``Buffers``.
    """

    def __init__(self, sessions: list[Session], weights: list[int], largest: int, memory: Any) -> None:
        self._sessions, self._weights, self._largest, self._memory = sessions, list(weights), largest, memory
        _, height, width = sessions[0].shape
        maps, presence = (largest, 4, height, width), (largest, 4)
        self._strips = memory.device((largest, 1, height, width), "uint8")
        self._maps, self._presence = memory.device(maps, "uint8"), memory.device(presence, "uint8")
        self._total, self._mean = memory.device(maps, "int32"), memory.device(maps, "uint8")
        self._given, self._made = memory.host((largest, 1, height, width)), memory.host(maps)
        self._made_presence = memory.host(presence)
        outputs = dict(zip(OUTPUTS, (self._maps, self._presence), strict=True))
        addresses = {name: memory.pointer(buffer) for name, buffer in ({INPUT: self._strips} | outputs).items()}
        for session in sessions:
            session.bind(addresses)
        self._graph, self._plain = None, 0
        self.seconds, self.strips = np.zeros(len(sessions)), 0

    def __call__(self, strips: np.ndarray) -> np.ndarray:
        """Mean maps ``uint8 [N, 4, H, W]`` of strips ``uint8 [N, H, W]``, any N."""
        parts = range(0, len(strips), self._largest)
        return np.concatenate([self._part(strips[i : i + self._largest]) for i in parts])

    def keep(self, chosen: list[int]) -> None:
        """Go on with some of the engines only."""
        self._sessions = [self._sessions[i] for i in chosen]
        self._weights = [self._weights[i] for i in chosen]
        self.seconds, self._graph = self.seconds[chosen], None

    def presence(self, count: int) -> np.ndarray:
        """The last engine's presence of the last part, ``uint8 [count, 4]``."""
        self._memory.download(self._made_presence[:count], self._presence)
        self._memory.synchronize()
        return self._made_presence[:count].copy()

    def _part(self, strips: np.ndarray) -> np.ndarray:
        count, memory = len(strips), self._memory
        self._given[:count, 0] = strips
        memory.upload(self._strips, self._given[:count])
        if count == self._largest and self._plain >= PLAIN_BATCHES:
            if self._graph is None:
                self._graph = memory.capture(lambda: self._all(self._largest))
            self._graph()
        else:
            self._all(count, timed=True)
            self._plain += 1
        memory.download(self._made[:count], self._mean)
        memory.synchronize()
        self.strips += count
        return self._made[:count].copy()

    def _all(self, count: int, *, timed: bool = False) -> None:
        """Put every member's run, and the mean of their maps, on the stream."""
        divisor, memory = sum(self._weights), self._memory
        memory.fill(self._total, divisor // 2)
        for number, (session, weight) in enumerate(zip(self._sessions, self._weights, strict=True)):
            began = time.monotonic()
            session.enqueue(count)
            memory.add(self._total, self._maps, weight)
            if timed:
                memory.synchronize()
                self.seconds[number] += time.monotonic() - began
        memory.divide(self._mean, self._total, divisor)
