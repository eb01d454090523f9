"""Buffers on the GPU: how each package reports a missing GPU, and that each rounds as the host does."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from contextlib import nullcontext
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from severstal.engines.tensorrt import pycuda_buffers, shared_buffers
from severstal.engines.tensorrt.torch_buffers import TorchBuffers
from severstal.errors import InputError
from severstal.postprocess.ensemble_mean import mean_map


def test_without_a_gpu_buffers_say_so_before_tensorrt_is_touched(monkeypatch) -> None:
    """A real ``trt.Runtime`` ends the process on a machine without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    shared_buffers.shared_buffers.cache_clear()
    with pytest.raises(InputError, match="needs an NVIDIA GPU"):
        shared_buffers.shared_buffers()


def test_pycuda_without_a_driver_is_an_error_of_one_line(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(InputError, match="pycuda finds none"):
        pycuda_buffers.PycudaBuffers()


def test_pycuda_binds_its_context_to_a_thread_and_releases_it_after_an_error(monkeypatch) -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    pycuda = MagicMock()
    pycuda.autoprimaryctx.device.compute_capability.return_value = (8, 6)
    for name, module in (("pycuda", pycuda), ("pycuda.autoprimaryctx", pycuda.autoprimaryctx)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda.driver)
    created, context = pycuda_buffers.PycudaBuffers(), pycuda.autoprimaryctx.context
    with pytest.raises(RuntimeError, match="of the work"), created.current():
        assert (context.push.call_count, context.pop.call_count) == (1, 0)
        raise RuntimeError("of the work")
    assert (context.push.call_count, context.pop.call_count) == (1, 1)


def sums_of_torch(maps: list[np.ndarray], weights: list[int], monkeypatch) -> np.ndarray:
    """The mean by torch's three calls, on tensors of the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    buffers = TorchBuffers()
    total, mean = torch.empty(maps[0].shape, dtype=torch.int32), torch.empty(maps[0].shape, dtype=torch.uint8)
    buffers.fill(total, sum(weights) // 2)
    for class_map, weight in zip(maps, weights, strict=True):
        buffers.add(total, torch.from_numpy(class_map), weight)
    buffers.divide(mean, total, sum(weights))
    return mean.numpy()


KERNELS_ON_A_CPU = """
#define __global__
struct {{ int x; }} blockIdx, blockDim, threadIdx;
{kernels}
extern "C" void run_add(int *total, const unsigned char *map, int weight, int count)
{{ for (blockIdx.x = 0; blockIdx.x * 256 < count; blockIdx.x++) for (threadIdx.x = 0; threadIdx.x < 256; threadIdx.x++)
   {{ blockDim.x = 256; add(total, map, weight, count); }} }}
extern "C" void run_divide(unsigned char *mean, const int *total, int divisor, int count)
{{ for (blockIdx.x = 0; blockIdx.x * 256 < count; blockIdx.x++) for (threadIdx.x = 0; threadIdx.x < 256; threadIdx.x++)
   {{ blockDim.x = 256; divide(mean, total, divisor, count); }} }}
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory) -> ctypes.CDLL:
    """The kernels of pycuda's buffers, compiled for the CPU: the same text, a loop where a GPU has threads."""
    if not shutil.which("g++"):
        pytest.skip("no C++ compiler")
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "sums.cpp").write_text(KERNELS_ON_A_CPU.format(kernels=pycuda_buffers.KERNELS))
    subprocess.run(["g++", "-shared", "-fPIC", "-O1", "-o", "sums.so", "sums.cpp"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "sums.so"))


def sums_of_kernels(maps: list[np.ndarray], weights: list[int], kernels: ctypes.CDLL) -> np.ndarray:
    total = np.full(maps[0].shape, sum(weights) // 2, dtype=np.int32)
    mean = np.empty(maps[0].shape, dtype=np.uint8)
    for class_map, weight in zip(maps, weights, strict=True):
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (total, class_map)]
        kernels.run_add(*pointers, weight, class_map.size)
    kernels.run_divide(
        mean.ctypes.data_as(ctypes.c_void_p), total.ctypes.data_as(ctypes.c_void_p), sum(weights), mean.size
    )
    return mean


@pytest.mark.parametrize("weights", [[1, 1], [3, 1], [1, 1, 1], [85, 85, 86], [255, 1], [1] * 20])
def test_torch_and_pycuda_round_as_the_host_does(weights, kernels, monkeypatch) -> None:
    random = np.random.default_rng(sum(weights))
    maps = [random.integers(0, 256, (3, 4, 7, 11), dtype=np.uint8) for _ in weights]
    for class_map in maps:  # the extremes, where sums overflow
        class_map[0, 0], class_map[0, 1] = 255, 0
    expected = mean_map(maps, weights)
    assert np.array_equal(sums_of_kernels(maps, weights, kernels), expected)
    with monkeypatch.context() as patch:
        assert np.array_equal(sums_of_torch(maps, weights, patch), expected)


def test_pycudas_kernels_compile_for_old_and_new_gpus() -> None:
    """By NVIDIA's own compiler, which needs no GPU."""
    pytest.importorskip("cuda.bindings.nvrtc")
    for capability in ((7, 5), (8, 6), (9, 0), (12, 0)):
        code = pycuda_buffers.compile_kernels(capability)
        assert code[:4] == b"\x7fELF"
        assert b"divide" in code
