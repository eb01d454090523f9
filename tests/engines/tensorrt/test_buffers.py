"""Running engines: order of calls, batch tails, CUDA graphs, sums. The GPU is a stand-in; the arithmetic is real.

What only a GPU shows (that TensorRT and CUDA take these calls) is in test_gpu.py.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from support import fake_tensorrt
from support.fake_tensorrt import HEIGHT, WIDTH, FakeBuffers, write_engine

from severstal.engines.tensorrt import buffers as buffers_module
from severstal.engines.tensorrt import pycuda_buffers, runtime
from severstal.engines.tensorrt.torch_buffers import TorchBuffers
from severstal.errors import InputError
from severstal.postprocess.ensemble_mean import mean_map


@pytest.fixture
def gpu() -> FakeBuffers:
    return FakeBuffers()


@pytest.fixture
def load(gpu, tmp_path):
    def make(**values) -> runtime.TensorRTEngine:
        path = write_engine(tmp_path / f"{len(list(tmp_path.iterdir()))}.engine", **values)
        return runtime.TensorRTEngine(gpu, runtime.LoadedEngine(fake_tensorrt.library(gpu), path))

    return make


def some(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, HEIGHT, WIDTH), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 3, 8, 9, 16, 21])
def test_any_number_of_strips_comes_back_in_order(load, count) -> None:
    engine, strips = load(factor=3, most=8), some(count)
    for _ in range(3):  # plain, recorded, replayed
        maps, class_probability = engine(strips)
        assert (maps.dtype, class_probability.dtype) == (np.uint8, np.uint8)
        assert np.array_equal(maps, engine.loaded._engine.maps(strips))
        assert np.array_equal(class_probability, maps.max(axis=(2, 3)))


def test_a_graph_is_recorded_for_numbers_that_come_twice_and_replayed_with_new_strips(load, gpu) -> None:
    engine = load(factor=1)
    first, second, third = (engine(some(4, seed))[0] for seed in (1, 2, 3))
    for seed, got in ((1, first), (2, second), (3, third)):
        assert np.array_equal(got, engine.loaded._engine.maps(some(4, seed))), (
            "an answer was overwritten by a later one"
        )
    assert gpu.calls.count("record") == 1
    assert gpu.calls.count("replay") == 2
    assert gpu.calls.index("record") > gpu.calls.index("execute"), "TensorRT wants one plain run before a recording"
    engine(some(2))  # the rest at the end
    assert gpu.calls.count("record") == 1


def test_an_engine_that_no_graph_can_hold_runs_without_one(load, gpu) -> None:
    engine = load(factor=1, capturable=False)
    for seed in range(3):
        assert np.array_equal(engine(some(4, seed))[0], engine.loaded._engine.maps(some(4, seed)))
    assert "record" not in gpu.calls


@pytest.mark.parametrize("weights", [[1, 1], [3, 1, 0], [5, 90, 161], [1], [0, 7, 0], [1] * 20])
def test_a_mean_made_on_the_gpu_is_that_made_on_the_host(load, gpu, weights) -> None:
    engines = [load(factor=1 + 2 * number) for number in range(len(weights))]
    joined = runtime.together(engines, weights)
    for seed in range(3):
        for count in (8, 3):
            strips = some(count, seed)
            each = [engine.loaded._engine.maps(strips) for engine in engines]
            maps, class_probability = joined(strips)
            assert np.array_equal(maps, mean_map(each, weights))
            assert np.array_equal(class_probability, mean_map([one.max(axis=(2, 3)) for one in each], weights))


def test_an_ensemble_copies_once_each_way_and_shares_its_scratch(load, gpu) -> None:
    engines = [load(factor=factor) for factor in (1, 3, 5)]
    joined = runtime.together(engines, [1, 2, 1])
    gpu.calls.clear()
    joined(some(4))
    assert gpu.calls == ["upload", *["fill"] * 2, *["execute", "add", "add"] * 3, *["divide"] * 2, *["download"] * 2]
    maps = 4 * 4 * HEIGHT * WIDTH
    assert sum(pin.nbytes for pin in gpu.pins) == 4 * HEIGHT * WIDTH + maps + 16, "more than one map comes back"
    contexts = joined._batches[4]._contexts
    assert len({context.scratch for context in contexts}) == 1


def test_engines_may_be_called_from_another_thread_than_loaded_them(load, gpu) -> None:
    """The demo's are; a context of CUDA belongs to a thread."""
    engines, strips = [load(factor=1), load(factor=3)], some(4)
    with ThreadPoolExecutor(1) as threads:
        maps = threads.submit(runtime.together(engines, [1, 1]), strips).result()[0]
        joined = threads.submit(runtime.together, engines, [1, 1]).result()
    assert np.array_equal(maps, joined(strips)[0])
    with pytest.raises(AssertionError, match="the GPU is not this thread's"):
        gpu.device((1,), np.uint8)


def test_engines_of_unlike_profiles_run_together_in_parts_that_all_take(load) -> None:
    engines = [load(factor=1, most=8), load(factor=3, most=2)]
    joined, strips = runtime.together(engines, [1, 1]), some(7)
    assert np.array_equal(joined(strips)[0], mean_map([engine.loaded._engine.maps(strips) for engine in engines]))


def test_an_engine_that_cannot_be_read_or_refuses_says_why(load, gpu, tmp_path) -> None:
    foreign = tmp_path / "foreign.engine"
    foreign.write_bytes(b"\x00ftrt")
    with pytest.raises(InputError, match=r"foreign\.engine cannot be loaded .*magic number"):
        runtime.LoadedEngine(fake_tensorrt.library(gpu), foreign)
    with pytest.raises(RuntimeError, match="refused to run"):
        load(factor=1, refuses=True)(some(1))


def test_without_a_gpu_buffers_say_so_before_tensorrt_is_touched(monkeypatch) -> None:
    """A real ``trt.Runtime`` ends the process on a machine without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    buffers_module.buffers.cache_clear()
    with pytest.raises(InputError, match="needs an NVIDIA GPU"):
        buffers_module.buffers()


def test_pycuda_without_a_driver_is_one_line(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(InputError, match="pycuda finds none"):
        pycuda_buffers.PycudaBuffers()


def test_pycuda_lends_its_context_to_a_thread_and_takes_it_back(monkeypatch) -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    pycuda = MagicMock()
    pycuda.autoprimaryctx.device.compute_capability.return_value = (8, 6)
    for name, module in (("pycuda", pycuda), ("pycuda.autoprimaryctx", pycuda.autoprimaryctx)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda.driver)
    held, context = pycuda_buffers.PycudaBuffers(), pycuda.autoprimaryctx.context
    with pytest.raises(RuntimeError, match="of the work"), held.current():
        assert (context.push.call_count, context.pop.call_count) == (1, 0)
        raise RuntimeError("of the work")
    assert (context.push.call_count, context.pop.call_count) == (1, 1)


# -- arithmetic: each way of summing against the host's ---------------------------------------------


def sums_of_torch(maps: list[np.ndarray], weights: list[int], monkeypatch) -> np.ndarray:
    """torch's three calls, on tensors of the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    held = TorchBuffers()
    total, mean = torch.empty(maps[0].shape, dtype=torch.int32), torch.empty(maps[0].shape, dtype=torch.uint8)
    held.fill(total, sum(weights) // 2)
    for one, weight in zip(maps, weights, strict=True):
        held.add(total, torch.from_numpy(one), weight)
    held.divide(mean, total, sum(weights))
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
    for one, weight in zip(maps, weights, strict=True):
        kernels.run_add(total.ctypes.data_as(ctypes.c_void_p), one.ctypes.data_as(ctypes.c_void_p), weight, one.size)
    kernels.run_divide(
        mean.ctypes.data_as(ctypes.c_void_p), total.ctypes.data_as(ctypes.c_void_p), sum(weights), mean.size
    )
    return mean


@pytest.mark.parametrize("weights", [[1, 1], [3, 1], [1, 1, 1], [85, 85, 86], [255, 1], [1] * 20])
def test_both_ways_of_summing_round_as_the_host_does(weights, kernels, monkeypatch) -> None:
    random = np.random.default_rng(sum(weights))
    maps = [random.integers(0, 256, (3, 4, 7, 11), dtype=np.uint8) for _ in weights]
    for one in maps:  # the extremes, where sums overflow
        one[0, 0], one[0, 1] = 255, 0
    expected = mean_map(maps, weights)
    assert np.array_equal(sums_of_kernels(maps, weights, kernels), expected)
    with monkeypatch.context() as patch:
        assert np.array_equal(sums_of_torch(maps, weights, patch), expected)


def test_kernels_compile_for_gpus_old_and_new() -> None:
    """By NVIDIA's own compiler, which needs no GPU."""
    pytest.importorskip("cuda.bindings.nvrtc")
    for capability in ((7, 5), (8, 6), (9, 0), (12, 0)):
        code = pycuda_buffers.compile_kernels(capability)
        assert code[:4] == b"\x7fELF"
        assert b"divide" in code


def test_predicting_with_tensorrt_imports_no_pytorch() -> None:
    source = Path(runtime.__file__).parents[3]
    script = (
        f"import sys; sys.path.insert(0, {str(source)!r}); sys.modules['torch'] = None\n"
        "import predict\n"
        "from severstal import engines\n"
        "print(engines.runtime('tensorrt').together.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "together", done.stderr
