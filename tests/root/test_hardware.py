"""GPUs: those that CUDA_VISIBLE_DEVICES leaves, in CUDA's order, named so that engines fit the one in use."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator

import pytest
from support.nvidia_smi import A100, MIG, T4_FIRST, T4_SECOND, forget_gpus, install_nvidia_smi

from severstal import hardware
from severstal.hardware import core_count, current_gpu, gpu_count, gpus, memory_bytes


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


def test_cores_are_those_that_the_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert core_count() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/job/step", {"memory.max": "9000", "job/memory.max": "5000", "job/step/memory.max": "max"}, 5000),
        ("0::/", {"memory.max": "7000"}, 7000),
        ("4:memory:/x", {"memory/memory.limit_in_bytes": "6000"}, 6000),
    ],
    ids=["a parent's", "of a container", "version 1"],
)
def test_memory_is_the_least_limit_of_the_processs_cgroups(tmp_path, monkeypatch, group, files, expected) -> None:
    monkeypatch.setattr(hardware, "PROC", tmp_path / "proc")
    monkeypatch.setattr(hardware, "CGROUPS", tmp_path / "cgroup")
    for name, text in ({"../proc/self/cgroup": group} | files).items():
        file = tmp_path / "cgroup" / name
        (tmp_path / "cgroup").mkdir(exist_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert memory_bytes() == expected


def test_memory_without_limits_is_the_machines(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(hardware, "PROC", tmp_path)
    monkeypatch.setattr(hardware, "CGROUPS", tmp_path)
    assert memory_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
