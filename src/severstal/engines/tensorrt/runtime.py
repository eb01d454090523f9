"""Engines on the GPU: one stream, one scratch memory for all of them, one CUDA graph per number of strips.

For an ensemble a batch is uploaded once, every member's maps are summed on the GPU, and only the mean is downloaded:
two copies a batch, however many members. ``tests/gpu`` holds what only a GPU can show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from severstal.engines.onnx_file import INPUT, OUTPUTS
from severstal.engines.outputs import Outputs
from severstal.engines.tensorrt.buffers import Buffers
from severstal.engines.tensorrt.library import create_logger
from severstal.errors import InputError

PROBABILITY, CLASS_PROBABILITY = OUTPUTS


class LoadedEngine:
    """A deserialized engine and its limits.

    Attributes:
        size: height and width of its strips.
        max_batch: strips per call at most.
    """

    def __init__(self, trt: ModuleType, path: Path) -> None:
        """Deserialize a file.

        Raises:
            InputError: if TensorRT refuses the file.
        """
        self._trt, self._log = trt, create_logger(trt)
        # Without a GPU this line ends the process: callers create the buffers first, which raise.
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise InputError(
                f"{path} cannot be loaded on this GPU ({'; '.join(self._log.errors) or 'no reason given'})"
            )
        self.size = tuple(self._engine.get_tensor_shape(INPUT))[2:]
        self.max_batch = int(self._engine.get_tensor_profile_shape(INPUT, 0)[2][0])

    def create_context(self) -> Any:
        """An execution context without memory of its own."""
        trt = self._trt
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
            return self._engine.create_execution_context(strategy)
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        # By default TensorRT-RTX compiles better kernels beside the first calls, and a recorded graph would lack them.
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        return self._engine.create_execution_context(config)

    def errors(self) -> str:
        """What TensorRT has logged as errors."""
        return "; ".join(self._log.errors) or "no reason given"


class Batch:
    """Everything that runs one number of strips: buffers, a context per engine, and from the second call a CUDA graph.

    Its contexts serve this number alone: a graph holds the state that its contexts had when it was recorded, and the
    address of the scratch memory.
    """

    def __init__(self, buffers: Buffers, engines: Sequence[LoadedEngine], weights: Sequence[int], count: int) -> None:
        height, width = engines[0].size
        shapes = (count, 4, height, width), (count, 4)
        self._buffers, self._engines, self._weights = buffers, engines, weights
        self._device_input = buffers.allocate((count, 1, height, width), np.uint8)
        self._device_outputs = [buffers.allocate(shape, np.uint8) for shape in shapes]
        # A sum for each output, where there is more than one engine to average.
        self._sums = [buffers.allocate(shape, np.int32) for shape in shapes] if len(engines) > 1 else []
        self._host_input = buffers.pinned((count, 1, height, width))
        self._host_outputs = [buffers.pinned(shape) for shape in shapes]
        self._contexts = [self._create_context(engine) for engine in engines]
        # Of this number of strips, which is less than the engine's largest batch would need.
        self._scratch_bytes = [context.update_device_memory_size_for_shapes() for context in self._contexts]
        self._scratch: Any = None
        self._replay: Callable[[], None] | None = None

    def _create_context(self, engine: LoadedEngine) -> Any:
        context = engine.create_context()
        context.set_input_shape(INPUT, self._host_input.shape)
        tensors = (self._device_input, *self._device_outputs)
        for name, array in zip((INPUT, *OUTPUTS), tensors, strict=True):
            context.set_tensor_address(name, self._buffers.address(array))
        return context

    def __call__(self, strips: np.ndarray) -> Outputs:
        """Weighted means over the engines of maps ``uint8 [N, 4, H, W]`` and class probabilities ``uint8 [N, 4]``."""
        self._host_input[:, 0] = strips
        self._run()
        self._buffers.synchronize()
        probability, class_probability = (output.copy() for output in self._host_outputs)
        return probability, class_probability

    def _run(self) -> None:
        """The first call with a scratch memory runs directly, as TensorRT wants; the second records; later ones replay.

        A number of strips that occurs once, such as the remainder at the end, is never recorded.
        """
        if self._replay is None and not self._bind_scratch() and self._can_be_recorded():
            self._replay = self._buffers.record(self._enqueue)
        (self._replay or self._enqueue)()

    def _bind_scratch(self) -> bool:
        """Give the contexts the current scratch memory; whether it is another than in the call before."""
        scratch = self._buffers.scratch.block(max(1, *self._scratch_bytes))
        if scratch is self._scratch:
            return False
        self._scratch = scratch
        for context, size in zip(self._contexts, self._scratch_bytes, strict=True):
            context.set_device_memory(self._buffers.address(scratch), size)
        return True

    def _can_be_recorded(self) -> bool:
        """Whether every context can be captured; only TensorRT-RTX has contexts that cannot."""
        return all(
            context.is_stream_capturable(self._buffers.stream)
            for context in self._contexts
            if hasattr(context, "is_stream_capturable")
        )

    def _enqueue(self) -> None:
        buffers, divisor = self._buffers, sum(self._weights)
        buffers.upload(self._device_input, self._host_input)
        for total in self._sums:
            buffers.fill(total, divisor // 2)  # rounds half up, as ensemble_mean.mean_map does
        for engine, context, weight in zip(self._engines, self._contexts, self._weights, strict=True):
            if not context.execute_async_v3(buffers.stream):
                raise RuntimeError(f"TensorRT refused to run an engine: {engine.errors()}")
            for total, output in zip(self._sums, self._device_outputs, strict=False):
                buffers.add(total, output, weight)
        for total, output in zip(self._sums, self._device_outputs, strict=False):
            buffers.divide(output, total, divisor)
        for host, array in zip(self._host_outputs, self._device_outputs, strict=True):
            buffers.download(host, array)


class Runner:
    """Runs one engine, or averages several, on any number of strips, in parts of the largest batch that all take."""

    def __init__(self, buffers: Buffers, engines: Sequence[LoadedEngine], weights: Sequence[int]) -> None:
        self.buffers, self.engines, self._weights = buffers, engines, weights
        self._max_batch = min(engine.max_batch for engine in engines)
        self._batches: dict[int, Batch] = {}

    def __call__(self, strips: np.ndarray) -> Outputs:
        """See :class:`Batch`, for strips ``uint8 [N, H, W]`` of any N from 1."""
        with self.buffers.current():
            size = self._max_batch
            parts = [self._run(strips[start : start + size]) for start in range(0, len(strips), size)]
        if len(parts) == 1:
            return parts[0]
        probability, class_probability = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        return probability, class_probability

    def _run(self, strips: np.ndarray) -> Outputs:
        count = len(strips)
        if count not in self._batches:
            self._batches[count] = Batch(self.buffers, self.engines, self._weights, count)
        return self._batches[count](strips)


def join(runners: Sequence[Runner], weights: Sequence[int]) -> Runner:
    """The weighted means of several engines' outputs, made on the GPU.

    They equal :func:`ensemble_mean.mean_map` of the outputs to the bit. Engines of weight 0 do not run.
    """
    weighted = [(runner, weight) for runner, weight in zip(runners, weights, strict=True) if weight]
    engines = [engine for runner, _ in weighted for engine in runner.engines]
    return Runner(weighted[0][0].buffers, engines, [weight for _, weight in weighted])
