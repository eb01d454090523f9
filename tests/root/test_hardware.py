"""GPUs: those that CUDA_VISIBLE_DEVICES leaves, in CUDA's order, named so that engines fit the one in use."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator

import pytest
from support.nvidia_smi import A100, MIG, T4_FIRST, T4_SECOND, forget_gpus, install_nvidia_smi

from severstal.hardware import current_gpu, gpu_count, gpus


@pytest.fixture(autouse=True)
def three_gpus(tmp_path, monkeypatch) -> Iterator[None]:
    install_nvidia_smi(tmp_path, monkeypatch)
    yield
    forget_gpus()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2", [T4_SECOND]),
        ("1,0", [T4_FIRST, A100]),
        (" 0 , 2", [A100, T4_SECOND]),
        (f"{T4_SECOND},GPU-5d5b", [T4_SECOND, A100]),
        ("GPU-7777", []),  # the beginning of two
        (MIG, [MIG]),
        (f"{MIG},1", [MIG]),
        (f"MIG-{A100}/1/0", [f"MIG-{A100}/1/0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,9,0", [T4_FIRST]),
        ("1,1", []),
    ],
)
def test_only_the_visible_gpus_are_counted(monkeypatch, visible: str, expected: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu["uuid"] for gpu in gpus()] == expected
    assert gpu_count() == len(expected)


def test_without_the_variable_all_gpus_are_visible() -> None:
    assert [gpu["name"] for gpu in gpus()] == ["NVIDIA A100-SXM4-40GB", "Tesla T4", "Tesla T4"]
    assert os.environ["CUDA_DEVICE_ORDER"], "CUDA would number GPUs by their speed, and nvidia-smi by their bus"


def test_a_mig_device_is_named_with_its_gpu(monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", MIG)
    assert gpus() == [
        {"name": "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "driver_version": "580.65.06", "compute_cap": "8.0", "uuid": MIG}
    ]


def test_the_gpu_in_use_is_the_first_visible_one_or_the_one_that_pytorch_uses(monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert (current_gpu() or {})["uuid"] == T4_FIRST
    cuda = types.SimpleNamespace(
        is_initialized=lambda: True,
        current_device=lambda: 1,
        get_device_properties=lambda device: types.SimpleNamespace(uuid=A100.removeprefix("GPU-")),
    )
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    assert (current_gpu() or {})["uuid"] == A100


def test_a_machine_without_the_drivers_tool_has_no_gpu(tmp_path, monkeypatch) -> None:
    (tmp_path / "nvidia-smi").unlink()
    assert gpus() == []
    assert current_gpu() is None
