"""From an ONNX file to a serialized engine: strongly typed network, one optimisation profile, timing cache.

One path for TensorRT 10.13 to 11 and TensorRT-RTX; the latter builds without a GPU too. Every error of the parser is
in the exception. TensorRT is given no progress monitor: calls of Python from its threads move what it allocates, and
with that the engine's bytes. ``build_process.py`` counts the seconds meanwhile.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from severstal.artifacts import replacing
from severstal.engines.tensorrt.library import logger
from severstal.errors import InputError

WORKSPACE = 4 << 30  # bytes


@dataclass(frozen=True)
class Profile:
    """Strips per call that an engine is built for: the fewest, those that its tactics are chosen for, the most."""

    bisect: int = 1
    usual: int = 4
    most: int = 8

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
    log = logger(trt)
    builder = trt.Builder(log)
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, definition, model, log)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    _allow_capture(trt, config)
    if profile:
        config.add_optimization_profile(_optimisation(builder, definition.get_input(0), profile))
    if trt.__name__ == "tensorrt_rtx":
        timing_cache = None  # it measures nothing, and warns of the calls
    _read_cache(config, timing_cache)
    plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise InputError(f"TensorRT built no engine: {'; '.join(log.errors) or 'it gave no reason'}")
    _write_cache(config, timing_cache)
    return bytes(plan)


def _parse(trt: ModuleType, definition: Any, model: bytes, log: Any) -> None:
    parser = trt.OnnxParser(definition, log)
    if not parser.parse(model):
        errors = [str(parser.get_error(i)) for i in range(parser.num_errors)] or log.errors
        raise InputError(f"TensorRT's parser refused the ONNX model: {'; '.join(errors)}")


def _optimisation(builder: Any, strips: Any, profile: Profile) -> Any:
    _, *rest = strips.shape
    made = builder.create_optimization_profile()
    made.set_shape(strips.name, *((batch, *rest) for batch in (profile.bisect, profile.usual, profile.most)))
    return made


def _allow_capture(trt: ModuleType, config: Any) -> None:
    """TensorRT-RTX allocates at run time unless told not to, which no CUDA graph can record."""
    flag = getattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)
    if flag is not None:
        config.set_flag(flag)


def _read_cache(config: Any, path: Path | None) -> None:
    if path is None:
        return
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    if cache is None:  # damaged: it is only a matter of time
        cache = config.create_timing_cache(b"")
    config.set_timing_cache(cache, ignore_mismatch=True)


def _write_cache(config: Any, path: Path | None) -> None:
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_bytes(bytes(config.get_timing_cache().serialize()))
