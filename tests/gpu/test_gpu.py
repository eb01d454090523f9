"""What only an NVIDIA GPU can show: that engines load and run, match PyTorch, and average as the host does.

``bash bin/gpu_check.sh`` runs this, and the same with trained networks and figures.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from support.experiments import TINY, random_member

from severstal import recipe
from severstal.engines import base as engines
from severstal.engines import export, torch_fp16_engine
from severstal.engines.tensorrt.engine_file import EngineFile
from severstal.experiment import Member
from severstal.inference import prediction
from severstal.models.inference_graph import load_inference_graph
from severstal.postprocess.ensemble_mean import mean_map

SIZE = (64, 128)
HERE = engines.gpu_count() > 0 and torch.cuda.is_available()

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not HERE, reason="no NVIDIA GPU")]


@pytest.fixture(scope="module")
def member(tmp_path_factory) -> Member:
    values = recipe.build({"name": "tiny"} | TINY)
    made = random_member(tmp_path_factory.mktemp("gpu"), values, "tu-mobilenetv4_conv_small", SIZE, spread=1.2)
    export.write_onnx(made)
    return made


@pytest.fixture(scope="module")
def strips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (19, *SIZE), dtype=np.uint8)


class Fold:
    """Strips to measure int8 ranges on, and a score that no engine falls short of: Dice is gpu_check's affair."""

    reference = 0.0

    def __init__(self, strips: np.ndarray) -> None:
        self._strips = list(strips)

    def calibration(self) -> list[np.ndarray]:
        return self._strips

    def of(self, engine: engines.Engine) -> float:
        return float(engine(np.stack(self._strips))[0].mean())


@pytest.fixture(params=["tensorrt-fp32", "tensorrt", "tensorrt-int8", "torch-fp16"])
def engine(request, member, strips) -> engines.Engine:
    if not engines.is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    runtime = engines.runtime(request.param)
    runtime.build(member, Fold(strips[:4]))
    return runtime.load(member)


def test_an_engine_gives_what_pytorch_gives_plain_recorded_and_replayed(engine, member, strips, request) -> None:
    expected, expected_presence = engines.runtime("torch").load(member)(strips)
    for _ in range(4):
        for count in (19, 8, 3, 1):
            maps, class_probability = engine(strips[:count])
            difference = np.abs(maps.astype(int) - expected[:count])
            assert (maps.shape, class_probability.shape) == ((count, 4, *SIZE), (count, 4))
            assert difference.mean() < (3 if "int8" in request.node.name else 0.2)
            assert np.abs(class_probability.astype(int) - expected_presence[:count]).max() < 60
            assert np.array_equal(class_probability, maps.max(axis=(2, 3)))


def test_an_engine_may_be_called_from_another_thread(engine, strips) -> None:
    here = engine(strips[:4])[0]
    with ThreadPoolExecutor(1) as threads:
        there = threads.submit(engine, strips[:4]).result()[0]
    assert np.abs(here.astype(int) - there).max() <= 1


def test_a_replayed_graph_sees_new_strips(engine, strips) -> None:
    alone = [engine(strips[i : i + 4])[0] for i in range(0, 16, 4)]
    again = [engine(strips[i : i + 4])[0] for i in range(0, 16, 4)]
    for first, second in zip(alone, again, strict=True):
        assert np.abs(first.astype(int) - second).max() <= 1
    assert not np.array_equal(again[0], again[1])


def ways() -> list[str]:
    return ["torch", *(["pycuda"] if importlib.util.find_spec("pycuda") else [])]


@pytest.mark.parametrize("way", ways())
def test_sums_on_the_gpu_are_the_hosts(way) -> None:
    module = importlib.import_module(f"severstal.engines.tensorrt.{way}_buffers")
    held = {"torch": "TorchBuffers", "pycuda": "PycudaBuffers"}[way]
    buffers = getattr(module, held)()
    shape, weights = (3, 4, 7, 11), [3, 200, 52]
    maps = [np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8) for i in range(3)]
    up, back = buffers.pinned(shape), buffers.pinned(shape)
    array, total = buffers.device(shape, np.uint8), buffers.device(shape, np.int32)
    buffers.fill(total, sum(weights) // 2)
    for one, weight in zip(maps, weights, strict=True):
        up[:] = one
        buffers.upload(array, up)
        buffers.add(total, array, weight)
        buffers.synchronize()  # before the pinned memory is written again
    replay = buffers.record(lambda: (buffers.divide(array, total, sum(weights)), buffers.download(back, array))[0])
    assert not back.any() or not np.array_equal(back, mean_map(maps, weights)), "recording ran the work"
    replay()
    buffers.synchronize()
    assert np.array_equal(back, mean_map(maps, weights))


def test_an_ensembles_mean_is_the_hosts(member, strips) -> None:
    if not engines.is_installed("tensorrt"):
        pytest.skip("tensorrt is not installed")
    runtimes = [engines.runtime("tensorrt"), engines.runtime("tensorrt-fp32")]
    for runtime in runtimes:
        runtime.build(member)
    loaded = [runtime.load(member) for runtime in runtimes]
    joined = runtimes[0].together(loaded, [3, 1])
    for count in (4, 4, 4, 3, 19):
        expected = prediction.Ensemble(loaded, [3, 1])(strips[:count])
        assert all(np.array_equal(*pair) for pair in zip(joined(strips[:count]), expected, strict=True))


def test_an_engine_that_this_gpu_does_not_take_is_rebuilt(member, capsys) -> None:
    if not engines.is_installed("tensorrt"):
        pytest.skip("tensorrt is not installed")
    file = EngineFile(member, "fp32")
    file.build()
    file.engine.write_bytes(file.engine.read_bytes()[: 1 << 16])
    file.load()
    assert "does not fit here" in capsys.readouterr().out


def test_pytorch_in_float16_keeps_its_sums_in_range(member, strips) -> None:
    model = torch_fp16_engine.halved(load_inference_graph(member, torch.device("cuda")))
    maps, _ = torch_fp16_engine.TorchHalfEngine(model)(strips)
    assert maps.std() > 3
