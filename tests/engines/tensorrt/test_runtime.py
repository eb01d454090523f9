"""Running engines: order of calls, parts of a batch, CUDA graphs, averages. The GPU is a stand-in; tests/gpu shows that
TensorRT and CUDA accept these calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import fake_tensorrt
from support.commands import run_python
from support.fake_tensorrt import HEIGHT, SCRATCH, WIDTH, FakeBuffers, write_engine

from severstal.engines.tensorrt.runtime import LoadedEngine, Runner, join
from severstal.engines.tensorrt_engine import TensorRTEngine
from severstal.errors import InputError
from severstal.postprocess.ensemble_mean import mean_map


@pytest.fixture
def gpu() -> FakeBuffers:
    return FakeBuffers()


@pytest.fixture
def load(gpu, tmp_path):
    """Loads an engine that computes what its keywords say."""

    def load(**values) -> TensorRTEngine:
        path = write_engine(tmp_path / f"{len(list(tmp_path.iterdir()))}.engine", **values)
        return TensorRTEngine(Runner(gpu, [LoadedEngine(fake_tensorrt.library(gpu), path)], [1]))

    return load


def random_strips(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, HEIGHT, WIDTH), dtype=np.uint8)


def expected_maps(engine: TensorRTEngine, strips: np.ndarray) -> np.ndarray:
    """What the stand-in's engine computes, without buffers."""
    return engine._runner.engines[0]._engine.maps(strips)


@pytest.mark.parametrize("count", [1, 3, 8, 9, 16, 21])
def test_any_number_of_strips_comes_back_in_order(load, count) -> None:
    engine, strips = load(factor=3, max_batch=8), random_strips(count)
    for _ in range(3):  # direct, recorded, replayed
        maps, classes = engine(strips)
        assert (maps.dtype, classes.dtype) == (np.uint8, np.uint8)
        assert np.array_equal(maps, expected_maps(engine, strips))
        assert np.array_equal(classes, maps.max(axis=(2, 3)))


def test_a_graph_is_recorded_for_a_number_that_occurs_twice_and_replayed_with_new_strips(load, gpu) -> None:
    engine = load(factor=1)
    outputs = {seed: engine(random_strips(4, seed))[0] for seed in (1, 2, 3)}
    for seed, maps in outputs.items():
        expected = expected_maps(engine, random_strips(4, seed))
        assert np.array_equal(maps, expected), "a result was overwritten by a later one"
    assert gpu.calls.count("record") == 1
    assert gpu.calls.count("replay") == 2
    assert gpu.calls.index("record") > gpu.calls.index("execute"), "TensorRT wants a direct run before a recording"
    engine(random_strips(2))  # the remainder at the end
    assert gpu.calls.count("record") == 1


def test_an_engine_that_cannot_be_recorded_runs_without_a_graph(load, gpu) -> None:
    engine = load(factor=1, capturable=False)
    for seed in range(3):
        strips = random_strips(4, seed)
        assert np.array_equal(engine(strips)[0], expected_maps(engine, strips))
    assert "record" not in gpu.calls


@pytest.mark.parametrize("weights", [[1, 1], [3, 1, 0], [5, 90, 161], [1], [0, 7, 0], [1] * 20])
def test_a_mean_made_on_the_gpu_equals_that_of_the_host(load, weights) -> None:
    engines = [load(factor=1 + 2 * number) for number in range(len(weights))]
    average = TensorRTEngine.average(engines, weights)
    for count in (4, 4, 4, 3, 9):
        strips = random_strips(count, count)
        expected = [expected_maps(engine, strips) for engine in engines]
        maps, classes = average(strips)
        assert np.array_equal(maps, mean_map(expected, weights))
        assert np.array_equal(classes, mean_map([one.max(axis=(2, 3)) for one in expected], weights))


def test_an_ensemble_copies_once_each_way_and_shares_its_scratch_memory(load, gpu) -> None:
    engines = [load(factor=factor) for factor in (1, 3, 5)]
    average = join([engine._runner for engine in engines], [1, 2, 1])
    gpu.calls.clear()
    average(random_strips(4))
    assert gpu.calls == ["upload", *["fill"] * 2, *["execute", "add", "add"] * 3, *["divide"] * 2, *["download"] * 2]
    maps = 4 * 4 * HEIGHT * WIDTH
    pinned = sum(array.nbytes for array in gpu.pinned_arrays)
    assert pinned == 4 * HEIGHT * WIDTH + maps + 16, "more than one map is downloaded"
    contexts = average._batches[4]._contexts
    assert len({context.scratch for context in contexts}) == 1


def scratch_sizes(gpu: FakeBuffers) -> list[int]:
    return [array.nbytes for array in gpu.memory.values() if array.ndim == 1]


def test_scratch_memory_is_of_the_batch_in_use_and_shared_by_all_engines(load, gpu) -> None:
    engines = [load(factor=factor) for factor in (1, 3)]
    average = TensorRTEngine.average(engines, [1, 1])
    assert not scratch_sizes(gpu), "memory was allocated before any strip came"
    for predict in (*engines, average):
        predict(random_strips(4))
    assert scratch_sizes(gpu) == [4 * SCRATCH]
    average(random_strips(2))
    assert scratch_sizes(gpu) == [4 * SCRATCH]
    average(random_strips(8))
    assert scratch_sizes(gpu) == [4 * SCRATCH, 8 * SCRATCH]


def test_a_recorded_graph_keeps_its_scratch_memory_when_a_larger_batch_comes(load, gpu) -> None:
    engine, small = load(factor=1), random_strips(2)
    for _ in range(3):  # direct, recorded, replayed
        engine(small)
    engine(random_strips(8))
    batch = engine._runner._batches[2]
    assert batch._contexts[0].scratch == gpu.address(batch._scratch)
    assert batch._scratch.nbytes == 2 * SCRATCH
    assert np.array_equal(engine(small)[0], expected_maps(engine, small))


def test_engines_may_be_called_from_another_thread_than_loaded_them(load, gpu) -> None:
    """The demo does; a CUDA context is bound to a thread."""
    engines, strips = [load(factor=1), load(factor=3)], random_strips(4)
    with ThreadPoolExecutor(1) as threads:
        maps = threads.submit(TensorRTEngine.average(engines, [1, 1]), strips).result()[0]
        average = threads.submit(TensorRTEngine.average, engines, [1, 1]).result()
    assert np.array_equal(maps, average(strips)[0])
    with pytest.raises(AssertionError, match="the GPU is not bound to this thread"):
        gpu.allocate((1,), np.uint8)


def test_engines_of_different_profiles_run_together_in_parts_that_all_accept(load) -> None:
    engines, strips = [load(factor=1, max_batch=8), load(factor=3, max_batch=2)], random_strips(7)
    maps = TensorRTEngine.average(engines, [1, 1])(strips)[0]
    assert np.array_equal(maps, mean_map([expected_maps(engine, strips) for engine in engines]))


def test_an_engine_that_cannot_be_read_or_run_says_why(load, gpu, tmp_path) -> None:
    foreign = tmp_path / "foreign.engine"
    foreign.write_bytes(b"\x00ftrt")
    with pytest.raises(InputError, match=r"foreign\.engine cannot be loaded .*magic number"):
        LoadedEngine(fake_tensorrt.library(gpu), foreign)
    with pytest.raises(RuntimeError, match="refused to run"):
        load(factor=1, refuses=True)(random_strips(1))


def test_predicting_with_tensorrt_imports_no_pytorch() -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import predict\n"
        "from severstal.engines.tensorrt import engine_file, runtime\n"
        "print(runtime.join.__name__)"
    )
    assert run_python(script) == "join\n"
