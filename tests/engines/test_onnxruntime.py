"""ONNX Runtime on a machine with a GPU; its CUDA build is a stand-in."""

from __future__ import annotations

from types import SimpleNamespace

import onnxruntime
import pytest

from severstal.engines import onnxruntime_engine
from severstal.engines.onnxruntime_engine import CPU, CUDA, OnnxRuntimeEngine


@pytest.fixture
def calls(monkeypatch) -> list:
    """What is asked of ONNX Runtime, in order."""
    calls = []
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: calls.append("preload"))
    monkeypatch.setattr(onnxruntime_engine, "gpu_count", lambda: 1)
    onnxruntime_engine._warn_of_cpu.cache_clear()
    return calls


def install(monkeypatch, calls: list, available: list[str], used: list[str]) -> None:
    def session(path, options, providers) -> SimpleNamespace:
        calls.append(providers)
        return SimpleNamespace(get_providers=lambda: used)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)


def test_cuda_libraries_are_loaded_first_and_tf32_is_off(monkeypatch, calls, member, caplog) -> None:
    install(monkeypatch, calls, [CUDA, CPU], [CUDA, CPU])
    OnnxRuntimeEngine.load(member)
    assert calls == ["preload", [(CUDA, {"use_tf32": 0}), CPU]]
    assert not caplog.records


@pytest.mark.parametrize(
    ("available", "reason"), [([CUDA, CPU], "did not load"), ([CPU], "replace the package by onnxruntime-gpu")]
)
def test_a_fall_back_to_the_cpu_is_a_warning_once(monkeypatch, calls, member, caplog, available, reason) -> None:
    install(monkeypatch, calls, available, [CPU])
    OnnxRuntimeEngine.load(member)
    OnnxRuntimeEngine.load(member)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert reason in caplog.text
