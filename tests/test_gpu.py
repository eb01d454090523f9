"""What only an NVIDIA GPU can show; `bash bin/gpu_check.sh` runs it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import SIZE

from severstal import engines, exporting
from severstal.engines import tensorrt_engine
from severstal.engines.tensorrt.running import buffers
from severstal.ensemble import mean_map

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")]


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (19, *SIZE), dtype=np.uint8)


@pytest.fixture
def tensorrt() -> None:
    if not engines.is_installed("tensorrt"):
        pytest.skip("neither tensorrt nor tensorrt_rtx is installed")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_gives_what_pytorch_gives(member, pictures, precision, monkeypatch, tensorrt) -> None:
    monkeypatch.setenv("SEVERSTAL_TENSORRT_PRECISION", precision)
    tensorrt_engine.build(member)
    reference, engine = engines.runtime("torch").load(member), tensorrt_engine.load(member)
    tolerance = engines.FLOAT32 if precision == "fp32" else engines.FLOAT16
    exporting.check_parity("tensorrt", exporting.compare(reference, engine, pictures, [128] * 4), tolerance)
    maps, presence = engine(pictures)
    assert np.array_equal(presence, maps.max(axis=(2, 3)))


def test_the_gpus_mean_is_the_hosts_with_graphs_and_tails(member, pictures, tensorrt) -> None:
    tensorrt_engine.build(member)
    alone = tensorrt_engine.load(member)
    together = tensorrt_engine.ensemble([member, member], [2, 1])
    for strips in [pictures[:8]] * 6 + [pictures[:3], pictures, pictures[:8]]:
        maps = alone(strips)[0]
        assert np.array_equal(together(strips), mean_map([maps, maps], [2, 1]))


def test_torch_in_float16_gives_what_float32_gives(member, pictures) -> None:
    reference, engine = engines.runtime("torch").load(member), engines.runtime("torch-fp16").load(member)
    exporting.check_parity("fp16", exporting.compare(reference, engine, pictures, [128] * 4), engines.FLOAT16)
    assert len(engine(pictures)[0]) == len(pictures)


def test_buffers_copy_add_and_divide(tensorrt) -> None:
    memory = buffers()
    maps, total, out = memory.device((4, 5), "uint8"), memory.device((4, 5), "int32"), memory.device((4, 5), "uint8")
    given, made = memory.host((4, 5)), memory.host((4, 5))
    given[:] = np.arange(20).reshape(4, 5) * 12
    memory.upload(maps, given)
    memory.fill(total, 2)
    memory.add(total, maps, 3)
    memory.add(total, maps, 1)
    memory.divide(out, total, 4)
    memory.download(made, out)
    memory.synchronize()
    assert np.array_equal(made, given)
