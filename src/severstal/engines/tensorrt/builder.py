"""Serialized engines from ONNX models: strongly typed, one optimisation profile, timings kept between folds.

TensorRT-RTX builds without a GPU too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from severstal.artifacts import replacing
from severstal.engines.tensorrt.library import logger
from severstal.errors import InputError

WORKSPACE = 4 << 30  # bytes


@dataclass(frozen=True)
class Profile:
    """Batch sizes that an engine takes, and the one that it is tuned for."""

    smallest: int = 1
    usual: int = 8
    largest: int = 8


def build_plan(
    trt: ModuleType,
    model: bytes,
    profile: Profile | None = None,
    timing_cache: Path | None = None,
    progress: str | None = None,
) -> bytes:
    """Serialized engine of an ONNX model.

    Args:
        timing_cache: file of measurements that is read before and written after, shared by all folds.
        progress: title of a bar; None shows none.

    Raises:
        InputError: with every error of the parser, or of the build.
    """
    log = logger(trt)
    builder = trt.Builder(log)
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, definition, log, model)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.profiling_verbosity = trt.ProfilingVerbosity.NONE  # layer names make the file larger and nothing faster
    if profile is not None:
        config.add_optimization_profile(_shapes(builder, definition.get_input(0), profile))
    cache = _read_cache(config, timing_cache)
    with _Monitor.over(trt, config, progress):
        plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise InputError(f"TensorRT built no engine: {'; '.join(log.errors) or 'it gave no reason'}")
    if timing_cache is not None and cache is not None:
        with replacing(timing_cache) as temporary:
            temporary.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _parse(trt: ModuleType, definition: Any, log: Any, model: bytes) -> None:
    parser = trt.OnnxParser(definition, log)
    if not parser.parse(model):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise InputError(f"TensorRT's parser refused the ONNX model: {errors}")


def _shapes(builder: Any, strips: Any, profile: Profile) -> Any:
    _, channels, height, width = strips.shape
    made = builder.create_optimization_profile()
    batches = (profile.smallest, profile.usual, profile.largest)
    made.set_shape(strips.name, *((batch, channels, height, width) for batch in batches))
    return made


def _read_cache(config: Any, path: Path | None) -> Any:
    if path is None or not hasattr(config, "create_timing_cache"):
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    config.set_timing_cache(cache, ignore_mismatch=True)
    return cache


class _Monitor:
    """Shows the steps of a build, which can take minutes, as a bar."""

    @staticmethod
    def over(trt: ModuleType, config: Any, title: str | None) -> tqdm:
        bar = tqdm(desc=title, unit="step", leave=False, disable=None if title else True)
        if title is None:
            return bar

        class Monitor(trt.IProgressMonitor):
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
                if parent_phase is None:
                    bar.reset(num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                bar.update()
                return True  # go on

            def phase_finish(self, phase_name: str) -> None:
                bar.refresh()

        config.progress_monitor = Monitor()
        return bar
