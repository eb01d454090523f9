"""A stand-in for TensorRT's runtime and for buffers on a GPU: NumPy arrays, addressed by their pointers.

It checks what a CPU cannot show otherwise: the order of calls, the shapes and addresses that contexts get, and what is
copied. Its engine computes ``probability[c] = strip * factor + c`` and knows its profile.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from severstal.engines.tensorrt.buffers import Scratch

HEIGHT, WIDTH = 6, 10
SCRATCH = 1000  # bytes for each strip


class FakeBuffers:
    """Enqueued work runs only when the stream is synchronised, so a result that is read too early is wrong."""

    stream = 77

    def __init__(self) -> None:
        self.memory: dict[int, np.ndarray] = {}
        self.queue: list[Any] = []
        self.calls: list[str] = []
        self.recording: list[Any] | None = None
        self.pinned_arrays: list[np.ndarray] = []
        self.bound = threading.local()
        self.scratch = Scratch(self)

    @contextmanager
    def current(self) -> Iterator[None]:
        self.bound.here = True
        try:
            yield
        finally:
            self.bound.here = False

    def _check_thread(self) -> None:
        assert getattr(self.bound, "here", False), "the GPU is not bound to this thread"

    def allocate(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        self._check_thread()
        assert self.recording is None, "memory was allocated while a CUDA graph was recorded"
        array = np.full(shape, 99, dtype=dtype)
        self.memory[array.ctypes.data] = array
        return array

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        self.pinned_arrays.append(np.zeros(shape, dtype=np.uint8))
        return self.pinned_arrays[-1]

    def address(self, array: np.ndarray) -> int:
        return array.ctypes.data

    def enqueue(self, name: str, work: Any) -> None:
        self.calls.append(name)
        self._check_thread()
        (self.queue if self.recording is None else self.recording).append(work)

    def upload(self, array: np.ndarray, host: np.ndarray) -> None:
        assert any(host is array for array in self.pinned_arrays), "the copy is not from pinned memory"
        self.enqueue("upload", lambda: np.copyto(array, host))

    def download(self, host: np.ndarray, array: np.ndarray) -> None:
        assert any(host is array for array in self.pinned_arrays), "the copy is not to pinned memory"
        self.enqueue("download", lambda: np.copyto(host, array))

    def fill(self, total: np.ndarray, value: int) -> None:
        self.enqueue("fill", lambda: total.fill(value))

    def add(self, total: np.ndarray, probability: np.ndarray, weight: int) -> None:
        self.enqueue("add", lambda: np.add(total, weight * probability.astype(np.int32), out=total))

    def divide(self, mean: np.ndarray, total: np.ndarray, divisor: int) -> None:
        self.enqueue("divide", lambda: np.copyto(mean, (total // divisor).astype(np.uint8)))

    def record(self, work: Any) -> Any:
        self.recording = []
        work()
        recorded, self.recording = self.recording, None
        self.calls.append("record")

        def replay() -> None:
            self.calls.append("replay")
            self.queue.extend(recorded)

        return replay

    def synchronize(self) -> None:
        assert self.recording is None, "waiting ends the recording of a CUDA graph"
        for work in self.queue:
            work()
        self.queue.clear()


class FakeContext:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.shape, self.addresses, self.scratch = engine, None, {}, None

    def update_device_memory_size_for_shapes(self) -> int:
        assert self.shape, "the size was asked for before the shape was set"
        return SCRATCH * self.shape[0]

    def set_device_memory(self, address: int, size: int) -> None:
        assert self.engine.buffers.memory[address].nbytes >= size, "the scratch memory is too small"
        assert size >= SCRATCH * self.shape[0]
        self.scratch = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "strips"
        assert shape[1:] == (1, HEIGHT, WIDTH)
        assert 1 <= shape[0] <= self.engine.max_batch, "more strips than the profile allows"
        assert self.shape in (None, shape), "a context that a CUDA graph holds was given another shape"
        self.shape = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        buffers = self.engine.buffers
        assert stream == buffers.stream
        assert self.scratch is not None
        strips, probability, class_probability = (
            buffers.memory[self.addresses[name]] for name in ("strips", "probability", "class_probability")
        )
        assert strips.shape == self.shape

        def compute() -> None:
            probability[:] = self.engine.maps(strips[:, 0])
            class_probability[:] = probability.max(axis=(2, 3))

        buffers.enqueue("execute", compute)
        return not self.engine.refuses


class RtxContext(FakeContext):
    """A context of TensorRT-RTX of which no CUDA graph can be recorded."""

    def is_stream_capturable(self, stream: int) -> bool:
        return False


class FakeEngine:
    def __init__(
        self, buffers: FakeBuffers, factor: int, max_batch: int = 8, refuses: bool = False, capturable: bool = True
    ) -> None:
        self.buffers, self.factor, self.max_batch = buffers, factor, max_batch
        self.refuses, self.capturable = refuses, capturable

    def maps(self, strips: np.ndarray) -> np.ndarray:
        levels = strips[:, None].astype(np.int64) * self.factor + np.arange(4)[None, :, None, None]
        return levels.astype(np.uint8)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, 1, HEIGHT, WIDTH)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [(batch, 1, HEIGHT, WIDTH) for batch in (1, min(4, self.max_batch), self.max_batch)]

    def create_execution_context(self, strategy: str) -> FakeContext:
        assert strategy == "user managed"
        return FakeContext(self) if self.capturable else RtxContext(self)


def library(buffers: FakeBuffers) -> Any:
    """What the runtime uses of the module ``tensorrt``; an engine's file is JSON."""

    class Logger:
        Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)

    class Runtime:
        def __init__(self, log: Any) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes) -> FakeEngine | None:
            try:
                return FakeEngine(buffers, **json.loads(plan))
            except ValueError:
                self.log.log(1, "the magic number is wrong")
                return None

    return SimpleNamespace(
        __name__="tensorrt",
        __version__="11.4",
        ILogger=Logger,
        Runtime=Runtime,
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="user managed"),
    )


def write_engine(path: Path, **values: Any) -> Path:
    path.write_text(json.dumps(values))
    return path
