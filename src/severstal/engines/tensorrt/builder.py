"""From an ONNX file to a serialized engine: strongly typed network, one optimisation profile, timing cache.

One path for TensorRT 10.13 to 11 and TensorRT-RTX; the latter builds without a GPU too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from severstal.artifacts import replacing
from severstal.engines.base import BATCH_SIZE
from severstal.engines.tensorrt.library import TURING, create_logger
from severstal.errors import InputError
from severstal.hardware import current_gpu

WORKSPACE = 4 << 30  # bytes


@dataclass(frozen=True)
class Profile:
    """TensorRT's optimisation profile, in strips per call: the limits, and the number that tactics are chosen for."""

    min_batch: int = 1
    opt_batch: int = BATCH_SIZE
    max_batch: int = 8

    def as_json(self) -> dict[str, int]:
        return asdict(self)


def build_plan(
    trt: ModuleType, model: bytes, profile: Profile | None = None, timing_cache: Path | None = None
) -> bytes:
    """Serialized engine of an ONNX model.

    Args:
        timing_cache: measurements of earlier builds, read and added to; TensorRT-RTX measures nothing and keeps none.

    Raises:
        InputError: with every error of the parser, or of the builder.
    """
    log = create_logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, model, log)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default: float32 layers would lose 13 of 23 bits of the mantissa
    _allow_capture(trt, config)
    if profile:
        config.add_optimization_profile(_optimization_profile(builder, network.get_input(0), profile))
    if trt.__name__ == "tensorrt_rtx":
        _target_turing(trt, config)
        timing_cache = None  # it measures nothing, and warns of the calls
    _read_timing_cache(config, timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise InputError(f"TensorRT built no engine: {'; '.join(log.errors) or 'it gave no reason'}")
    _write_timing_cache(config, timing_cache)
    return bytes(plan)


def _parse(trt: ModuleType, network: Any, model: bytes, log: Any) -> None:
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        errors = [str(parser.get_error(i)) for i in range(parser.num_errors)] or log.errors
        raise InputError(f"TensorRT's parser refused the ONNX model: {'; '.join(errors)}")


def _optimization_profile(builder: Any, strips: Any, profile: Profile) -> Any:
    _, *rest = strips.shape
    batches = (profile.min_batch, profile.opt_batch, profile.max_batch)
    created = builder.create_optimization_profile()
    created.set_shape(strips.name, *((batch, *rest) for batch in batches))
    return created


def _allow_capture(trt: ModuleType, config: Any) -> None:
    """Have the caller allocate: TensorRT-RTX allocates at run time by default, which no CUDA graph can record."""
    flag = getattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)
    if flag is not None:
        config.set_flag(flag)


def _target_turing(trt: ModuleType, config: Any) -> None:
    """Have TensorRT-RTX build for this machine's GPU if it is of the Turing generation.

    An engine that names no compute capability loads on 8.0 and later, except 9.0 (TensorRT-RTX's documentation,
    "CPU-Only AOT and TensorRT-RTX Engines").
    """
    gpu = current_gpu()
    if gpu and float(gpu["compute_cap"]) == TURING:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM75, 0)


def _read_timing_cache(config: Any, path: Path | None) -> None:
    if path is None:
        return
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    # Damaged, or of another GPU or library, whose times would choose slow or failing kernels: starting over costs time.
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _write_timing_cache(config: Any, path: Path | None) -> None:
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_bytes(bytes(config.get_timing_cache().serialize()))
