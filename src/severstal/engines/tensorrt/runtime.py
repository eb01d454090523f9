"""Engines on the GPU: one stream, one scratch memory for all of them, one CUDA graph per number of strips.

For an ensemble a batch goes up once, every member's maps are summed where they are, and the mean alone comes back:
two copies a batch, however many members. What can only be seen on a GPU is in ``tests/test_gpu.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from severstal.engines.onnx_file import INPUT, OUTPUTS
from severstal.engines.tensorrt.buffers import Buffers
from severstal.engines.tensorrt.library import logger
from severstal.errors import InputError

PROBABILITY, CLASS_PROBABILITY = OUTPUTS


class LoadedEngine:
    """A deserialized engine, and what it says of its shapes.

    Raises:
        InputError: if TensorRT does not take the file.
    """

    def __init__(self, trt: ModuleType, path: Path) -> None:
        self._trt, self._log = trt, logger(trt)
        # Where there is no GPU this line ends the process: whoever loads makes the buffers first, which raise.
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise InputError(
                f"{path} cannot be loaded on this GPU ({'; '.join(self._log.errors) or 'no reason given'})"
            )
        self.scratch_bytes = int(self._engine.device_memory_size_v2)
        self.size = tuple(self._engine.get_tensor_shape(INPUT))[2:]
        self.most = int(self._engine.get_tensor_profile_shape(INPUT, 0)[2][0])

    def context(self) -> Any:
        """An execution context without memory of its own."""
        trt = self._trt
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
            return self._engine.create_execution_context(strategy)
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        # TensorRT-RTX would else compile better kernels beside the first calls, and a recorded graph would miss them.
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        return self._engine.create_execution_context(config)

    def errors(self) -> str:
        return "; ".join(self._log.errors) or "it gave no reason"


class Batch:
    """All that runs one number of strips: buffers, a context per engine, and after the first call a CUDA graph.

    A context serves this number alone: a graph holds the state that its contexts had when it was recorded.
    """

    def __init__(
        self, buffers: Buffers, loaded: Sequence[LoadedEngine], weights: Sequence[int], scratch: Any, count: int
    ) -> None:
        height, width = loaded[0].size
        maps = (count, 4, height, width)
        self._buffers, self._loaded, self._weights = buffers, loaded, weights
        self._given = buffers.device((count, 1, height, width), np.uint8)
        self._probability, self._presence = buffers.device(maps, np.uint8), buffers.device((count, 4), np.uint8)
        self._outputs = (self._probability, self._presence)
        # One sum for each output, where there is more than one answer to sum.
        shapes = (maps, (count, 4)) if len(loaded) > 1 else ()
        self._totals = [buffers.device(shape, np.int32) for shape in shapes]
        self._strips = buffers.pinned((count, 1, height, width))
        self._answers = buffers.pinned(maps), buffers.pinned((count, 4))
        self._contexts = [self._bound(engine, scratch, self._strips.shape) for engine in loaded]
        self._replay: Callable[[], None] | None = None
        self._calls = 0

    def _bound(self, engine: LoadedEngine, scratch: Any, shape: tuple[int, ...]) -> Any:
        context = engine.context()
        context.set_device_memory(self._buffers.address(scratch), engine.scratch_bytes)
        context.set_input_shape(INPUT, shape)
        for name, array in (
            (INPUT, self._given),
            (PROBABILITY, self._probability),
            (CLASS_PROBABILITY, self._presence),
        ):
            context.set_tensor_address(name, self._buffers.address(array))
        return context

    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Maps ``uint8 [count, 4, H, W]`` and presences ``uint8 [count, 4]``: the weighted means of all engines."""
        self._strips[:, 0] = strips
        self._run()
        self._buffers.synchronize()
        return tuple(answer.copy() for answer in self._answers)

    def _run(self) -> None:
        """The first call runs plainly, as TensorRT wants before a recording; the second records; later ones replay.

        A number of strips that occurs once, the rest at the end, is never recorded.
        """
        self._calls += 1
        if self._calls == 2 and self._can_be_recorded():
            self._replay = self._buffers.record(self._queue)
        (self._replay or self._queue)()

    def _can_be_recorded(self) -> bool:
        """TensorRT-RTX can tell of a context that it cannot."""
        asked = [one for one in self._contexts if hasattr(one, "is_stream_capturable")]
        return all(one.is_stream_capturable(self._buffers.stream) for one in asked)

    def _queue(self) -> None:
        buffers, divisor = self._buffers, sum(self._weights)
        buffers.upload(self._given, self._strips)
        for total in self._totals:
            buffers.fill(total, divisor // 2)  # rounds half up, as ensemble.mean_map does
        for engine, context, weight in zip(self._loaded, self._contexts, self._weights, strict=True):
            if not context.execute_async_v3(buffers.stream):
                raise RuntimeError(f"TensorRT refused to run an engine: {engine.errors()}")
            for total, output in zip(self._totals, self._outputs, strict=False):
                buffers.add(total, output, weight)
        for total, output in zip(self._totals, self._outputs, strict=False):
            buffers.divide(output, total, divisor)
        for host, array in zip(self._answers, self._outputs, strict=True):
            buffers.download(host, array)


class Runner:
    """Engines that run together on any number of strips, in parts of the most that they were built for."""

    def __init__(self, buffers: Buffers, loaded: Sequence[LoadedEngine], weights: Sequence[int]) -> None:
        self._buffers, self._loaded, self._weights = buffers, loaded, weights
        with buffers.current():
            self._scratch = buffers.device((max(1, *(engine.scratch_bytes for engine in loaded)),), np.uint8)
        self._most = min(engine.most for engine in loaded)
        self._batches: dict[int, Batch] = {}

    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Batch`, for ``uint8 [N, H, W]`` of any N from 1."""
        with self._buffers.current():
            parts = [self._of(strips[start : start + self._most]) for start in range(0, len(strips), self._most)]
        return parts[0] if len(parts) == 1 else tuple(np.concatenate(answers) for answers in zip(*parts, strict=True))

    def _of(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = len(strips)
        if count not in self._batches:
            self._batches[count] = Batch(self._buffers, self._loaded, self._weights, self._scratch, count)
        return self._batches[count](strips)


class TensorRTEngine:
    """One member's engine, in the form that every engine has."""

    def __init__(self, buffers: Buffers, loaded: LoadedEngine) -> None:
        self.buffers, self.loaded = buffers, loaded
        self._runner = Runner(buffers, [loaded], [1])

    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._runner(strips)


def together(engines: Sequence[TensorRTEngine], weights: Sequence[int]) -> Runner:
    """The weighted means of several engines' maps and presences, made on the GPU.

    To the bit what :func:`ensemble.mean_map` makes of their answers.
    """
    pairs = [(engine, weight) for engine, weight in zip(engines, weights, strict=True) if weight]
    loaded = [engine.loaded for engine, _ in pairs]
    return Runner(pairs[0][0].buffers, loaded, [weight for _, weight in pairs])
