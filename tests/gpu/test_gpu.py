"""What only an NVIDIA GPU can show: that engines load and run, match PyTorch, and average as the host does.

``bash bin/gpu_check.sh`` runs this, and the same with trained networks and figures.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from support.experiments import TINY, random_member

from severstal import recipe
from severstal.engines import catalog
from severstal.engines.base import Engine
from severstal.engines.onnx_export import write_onnx
from severstal.engines.outputs import Predict
from severstal.engines.tensorrt.engine_file import EngineFile
from severstal.engines.tensorrt_engine import TensorRTEngine, TensorRTFloat32Engine
from severstal.experiment import Member
from severstal.hardware import gpu_count
from severstal.models.tf32 import without_tf32
from severstal.postprocess.ensemble_mean import mean_map

SIZE = (64, 128)
HAS_GPU = gpu_count() > 0 and torch.cuda.is_available()

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not HAS_GPU, reason="no NVIDIA GPU")]


@pytest.fixture(scope="module")
def member(tmp_path_factory) -> Member:
    values = recipe.build({"name": "tiny"} | TINY)
    member = random_member(tmp_path_factory.mktemp("gpu"), values, "tu-mobilenetv4_conv_small", SIZE, spread=1.2)
    write_onnx(member)
    return member


@pytest.fixture(scope="module")
def strips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (19, *SIZE), dtype=np.uint8)


class Fold:
    """Strips to calibrate int8 on, and a reference that every engine reaches: gpu_check looks at the Dice."""

    reference = 0.0

    def __init__(self, strips: np.ndarray) -> None:
        self._strips = list(strips)

    def calibration_strips(self) -> list[np.ndarray]:
        return self._strips

    def score(self, predict: Predict) -> float:
        return float(predict(np.stack(self._strips))[0].mean())


@pytest.fixture(params=["tensorrt-fp32", "tensorrt", "tensorrt-int8", "torch-fp16"])
def engine(request, member, strips) -> Engine:
    if not catalog.is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    engine_class = catalog.engine_class(request.param)
    engine_class.build(member, Fold(strips[:4]))
    return engine_class.load(member)


def test_an_engine_matches_pytorch_run_directly_recorded_and_replayed(engine, member, strips) -> None:
    expected, expected_classes = catalog.engine_class("torch").load(member)(strips)
    for _ in range(4):
        for count in (19, 8, 3, 1):
            maps, classes = engine(strips[:count])
            difference = np.abs(maps.astype(int) - expected[:count])
            assert (maps.shape, classes.shape) == ((count, 4, *SIZE), (count, 4))
            assert difference.mean() < (3 if engine.precision == "int8" else 0.2)
            assert np.abs(classes.astype(int) - expected_classes[:count]).max() < 60
            # An engine may compute the maximum from probabilities that another kernel rounded.
            assert np.abs(classes.astype(int) - maps.max(axis=(2, 3))).max() <= 1


def test_an_engine_may_be_called_from_another_thread_than_loaded_it(engine, strips) -> None:
    expected = engine(strips[:4])[0]
    with ThreadPoolExecutor(1) as threads:
        from_thread = threads.submit(engine, strips[:4]).result()[0]
    assert np.abs(expected.astype(int) - from_thread).max() <= 1


def test_a_replayed_graph_predicts_the_new_strips(engine, strips) -> None:
    first = [engine(strips[i : i + 4])[0] for i in range(0, 16, 4)]
    second = [engine(strips[i : i + 4])[0] for i in range(0, 16, 4)]
    for before, after in zip(first, second, strict=True):
        assert np.abs(before.astype(int) - after).max() <= 1
    assert not np.array_equal(second[0], second[1])


BUFFERS = {"torch": "torch_buffers.TorchBuffers", "pycuda": "pycuda_buffers.PycudaBuffers"}


@pytest.mark.parametrize("package", BUFFERS)
def test_sums_on_the_gpu_equal_those_of_the_host(package) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    module, _, name = BUFFERS[package].partition(".")
    buffers = getattr(importlib.import_module(f"severstal.engines.tensorrt.{module}"), name)()
    shape, weights = (3, 4, 7, 11), [3, 200, 52]
    maps = [np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8) for i in range(3)]
    with buffers.current():
        uploaded, downloaded = buffers.pinned(shape), buffers.pinned(shape)
        array, total = buffers.allocate(shape, np.uint8), buffers.allocate(shape, np.int32)
        buffers.fill(total, sum(weights) // 2)
        for class_map, weight in zip(maps, weights, strict=True):
            uploaded[:] = class_map
            buffers.upload(array, uploaded)
            buffers.add(total, array, weight)
            buffers.synchronize()  # before the pinned memory is written again
        downloaded[:] = 0

        def finish() -> None:
            buffers.divide(array, total, sum(weights))
            buffers.download(downloaded, array)

        replay = buffers.record(finish)
        assert not downloaded.any(), "recording ran the work"
        replay()
        buffers.synchronize()
    assert np.array_equal(downloaded, mean_map(maps, weights))


def test_the_mean_of_an_ensemble_equals_that_of_the_host(member, strips) -> None:
    if not TensorRTEngine.is_installed():
        pytest.skip("tensorrt is not installed")
    engines = []
    for engine_class in (TensorRTEngine, TensorRTFloat32Engine):
        engine_class.build(member)
        engines.append(engine_class.load(member))
    average = TensorRTEngine.average(engines, [3, 1])
    for count in (4, 4, 4, 3, 19):
        outputs = zip(*(engine(strips[:count]) for engine in engines), strict=True)
        expected = [mean_map(arrays, [3, 1]) for arrays in outputs]
        assert all(np.array_equal(*pair) for pair in zip(average(strips[:count]), expected, strict=True))


def test_the_mean_of_float16_networks_equals_that_of_the_host(member, strips) -> None:
    engine_class = catalog.engine_class("torch-fp16")
    engines = [engine_class.load(member) for _ in range(2)]
    average = engine_class.average(engines, [3, 1])
    for count in (4, 4, 4, 3, 19):
        outputs = zip(*(engine(strips[:count]) for engine in engines), strict=True)
        expected = [mean_map(arrays, [3, 1]) for arrays in outputs]
        assert all(np.array_equal(*pair) for pair in zip(average(strips[:count]), expected, strict=True))


def test_an_engine_that_this_gpu_refuses_is_rebuilt(member, caplog) -> None:
    if not TensorRTEngine.is_installed():
        pytest.skip("tensorrt is not installed")
    file = EngineFile(member, "tensorrt-fp32", "fp32")
    file.build()
    file.engine.write_bytes(file.engine.read_bytes()[: 1 << 16])
    with caplog.at_level(logging.INFO, "severstal"):
        file.load()
    assert "does not fit here" in caplog.text


def test_float32_convolutions_are_no_tf32_ones_where_that_is_switched_off() -> None:
    """TF32's factors have 10 bits of mantissa, and its error here is forty times the limit."""
    torch.manual_seed(0)
    convolution, images = torch.nn.Conv2d(256, 64, 3).cuda(), torch.randn(2, 256, 32, 32, device="cuda")
    with torch.inference_mode():
        with without_tf32():
            single = convolution(images)
        exact = convolution.double()(images.double())
    assert (single - exact).abs().max() < 2e-5


def test_float16_on_the_gpu_stays_finite(member, strips) -> None:
    """An overflow would leave maps of one value."""
    maps, _ = catalog.engine_class("torch-fp16").load(member)(strips)
    assert maps.std() > 3
