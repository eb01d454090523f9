"""What an engine was built from and for; one that was built for another machine is never loaded.

An engine only fits the library, the GPU and the driver it was built with, and loading another ends the process. So
this is kept in a file beside it (``model.tensorrt-build.json``), not glued to it: ``trtexec`` can read the engine.
"""

from __future__ import annotations

from dataclasses import asdict
from types import ModuleType
from typing import Any

from severstal.artifacts import file_hash, read_json
from severstal.engines.tensorrt.builder import Profile
from severstal.gpu import gpus
from severstal.member import Member


def made_from(trt: ModuleType, member: Member, precision: str, profile: Profile) -> dict[str, Any]:
    """What an engine depends on; equal where it can be loaded."""
    return {
        "library": trt.__name__,
        "version": trt.__version__,
        "gpu": gpus()[0] if gpus() else None,  # name, driver version, compute capability
        "precision": precision,
        "profile": asdict(profile),
        "onnx": file_hash(member.files.onnx),
        "weights": member.weights_hash(),
    }


def read(member: Member, name: str) -> dict[str, Any] | None:
    """The sidecar of the engine on disk; None where there is none."""
    path = member.files.sidecar(f"{name}-build")
    return read_json(path, "bash bin/export.sh") if path.exists() else None


def difference(found: dict[str, Any] | None, wanted: dict[str, Any]) -> str:
    """In words, what an engine on disk does not fit by; empty if it fits."""
    if found is None:
        return "there is no engine yet"
    changed = [f"{key} {found.get(key)} -> {value}" for key, value in wanted.items() if found.get(key) != value]
    return ", ".join(changed)
