"""One graph on every engine: export, parity, padding, flips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.experiments import TINY, random_member

from severstal import recipe
from severstal.engines import base as engines
from severstal.engines import export, onnx_file
from severstal.errors import InputError
from severstal.experiment import Member

SIZE = (70, 100)  # neither is divisible by the stride
HEAD = {"downscale": 2, "classifier_loss_weight": 0.1}


@pytest.fixture(scope="module", params=[{}, {"downscale": 2}, HEAD], ids=["full size", "half size", "with a head"])
def member(tmp_path_factory, request) -> Member:
    """A fold of random weights, exported to ONNX."""
    values = recipe.build({"name": "tiny"} | TINY | request.param)
    root, spread = tmp_path_factory.mktemp("experiment"), 1.5 if request.param == HEAD else 2
    made = random_member(root, values, "tu-mobilenetv4_conv_small", SIZE, spread)
    export.write_onnx(made)
    return made


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, *SIZE), dtype=np.uint8)


@pytest.mark.parametrize("name", ["torch", "onnxruntime", "openvino"])
def test_engines_give_what_pytorch_gives(member, pictures, name) -> None:
    reference = engines.runtime("torch").load(member)
    engine = engines.runtime(name).load(member)
    expected, class_probability = reference(pictures)
    assert expected.std() > 10, "maps of one value would prove nothing"
    parity = export.compare(reference, engine, pictures, [128, 100, 150, 128])
    export.check_parity(name, parity, engines.FLOAT32)
    got, got_presence = engine(pictures[:3])
    assert (got.dtype, got.shape) == (np.uint8, (3, 4, *SIZE))
    assert (got_presence.dtype, got_presence.shape) == (np.uint8, (3, 4))
    assert np.abs(class_probability[:3].astype(int) - got_presence).max() <= engines.FLOAT32.levels
    has_head = member.config().recipe.classifier_loss_weight > 0
    assert np.array_equal(class_probability, expected.max(axis=(2, 3))) != has_head


def test_the_file_tells_whose_it_is(member) -> None:
    found = onnx_file.read_identity(member)
    assert found["encoder"] == member.encoder
    assert found["weights"] == member.weights_hash()
    assert found["tta"] == "horizontal"
    onnx_file.check_identity(member)


def test_parity_counts_levels_and_flips(pictures) -> None:
    zeros = np.zeros((1, 4, *SIZE), dtype=np.uint8)
    shifted = zeros.copy()
    shifted[0, 0, :7, 0] = 130
    still = lambda strips: (zeros, zeros[:, :, 0, 0])  # noqa: E731
    parity = export.compare(still, lambda strips: (shifted, zeros[:, :, 0, 0]), pictures[:2], [128] * 4)
    assert parity.largest == 130
    assert parity.flipped == pytest.approx(7 / (4 * SIZE[0] * SIZE[1]))
    with pytest.raises(InputError, match="does not match PyTorch"):
        export.check_parity("engine", parity, engines.FLOAT16)


def test_an_engine_that_is_not_there_is_named_with_its_cure(monkeypatch) -> None:
    monkeypatch.setattr(engines, "gpu_count", lambda: 0)
    assert engines.choose("auto") == "openvino"
    with pytest.raises(InputError, match="there are auto, tensorrt"):
        engines.choose("tensorflow")
    monkeypatch.setattr(engines, "is_installed", lambda name: name != "openvino")
    with pytest.raises(InputError, match="pip install -r requirements"):
        engines.choose("openvino")
    with pytest.raises(InputError, match="needs an NVIDIA GPU"):
        engines.choose("tensorrt")
    monkeypatch.setattr(engines, "gpu_count", lambda: 1)
    assert engines.choose("auto") == "tensorrt"
    monkeypatch.setattr(engines, "is_installed", lambda name: False)
    assert engines.choose("auto") == "torch-fp16"


def test_pytorch_in_float16_gives_what_float32_gives(tmp_path, pictures) -> None:
    """The arithmetic, on the CPU; its CUDA graphs are in test_gpu.py."""
    from severstal.engines.torch_fp16_engine import halved
    from severstal.models.inference_graph import load_inference_graph

    values = recipe.build({"name": "tiny"} | TINY)
    member = random_member(tmp_path, values, "tu-mobilenetv4_conv_small", SIZE, spread=1.2)
    exact = engines.runtime("torch").load(member)(pictures)[0]
    calibration_level = halved(load_inference_graph(member, torch.device("cpu")))
    with torch.inference_mode():
        maps, class_probability = calibration_level(torch.from_numpy(pictures)[:, None])
    assert (maps.dtype, class_probability.dtype) == (torch.uint8, torch.uint8)
    difference = np.abs(maps.numpy().astype(int) - exact)
    assert 0 < difference.mean() < 0.5
    if not engines.gpu_count():
        with pytest.raises(InputError, match="needs an NVIDIA GPU"):
            engines.runtime("torch-fp16").load(member)
