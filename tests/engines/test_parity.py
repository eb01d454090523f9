"""One graph in every runtime: each gives PyTorch's maps, and the comparison notices where one does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.scored_member import SIZE

from severstal.engines import catalog, cuda_graphs, onnx_file
from severstal.engines.base import FLOAT16, FLOAT32
from severstal.engines.parity import check_parity, compare
from severstal.errors import InputError
from severstal.hardware import gpu_count
from severstal.models.inference_graph import load_inference_graph

THRESHOLDS = [128, 100, 150, 128]


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_engine_gives_what_pytorch_gives(name, member, strips) -> None:
    """Networks with a classifier, and strips that need padding, are in tensorrt/test_encoders.py."""
    reference, engine = (catalog.engine_class(runtime).load(member) for runtime in ("torch", name))
    expected, expected_classes = reference(strips)
    assert expected.std() > 5, "maps of one value would prove nothing"
    assert np.array_equal(expected_classes, expected.max(axis=(2, 3))), "without a classifier: the map's maximum"
    check_parity(name, compare(reference, engine, strips, THRESHOLDS), FLOAT32)
    maps, classes = engine(strips[:3])
    assert (maps.dtype, maps.shape) == (np.uint8, (3, 4, *SIZE))
    assert (classes.dtype, classes.shape) == (np.uint8, (3, 4))


def test_an_onnx_file_names_the_weights_that_it_was_made_from(member) -> None:
    metadata = onnx_file.read_identity(member)
    assert metadata["encoder"] == member.encoder
    assert metadata["weights"] == member.weights_hash()
    assert metadata["tta"] == "horizontal"
    onnx_file.check_identity(member)


def test_parity_counts_levels_and_flipped_pixels(strips) -> None:
    zeros = np.zeros((1, 4, *strips.shape[1:]), dtype=np.uint8)
    changed, classes = zeros.copy(), zeros[:, :, 0, 0]
    changed[0, 0, :7, 0] = 130
    parity = compare(lambda _: (zeros, classes), lambda _: (changed, classes + 9), strips[:2], [128] * 4)
    assert (parity.strips, parity.largest, parity.class_probability) == (2, 130, 9)
    assert parity.flipped == pytest.approx(7 / zeros.size)
    assert parity.mean == pytest.approx(7 * 130 / zeros.size)
    with pytest.raises(InputError, match=r"engine does not match PyTorch: largest difference 130/255"):
        check_parity("engine", parity, FLOAT16)
    check_parity("engine", parity, None)


@pytest.mark.parametrize(("maps", "classes"), [(4, 0), (0, 4)])
def test_one_level_beyond_the_tolerance_is_refused(maps, classes, strips) -> None:
    zeros, of_class = np.zeros((1, 4, *strips.shape[1:]), dtype=np.uint8), np.zeros((1, 4), dtype=np.uint8)
    parity = compare(lambda _: (zeros, of_class), lambda _: (zeros + maps, of_class + classes), strips[:1], [128] * 4)
    with pytest.raises(InputError, match="does not match PyTorch"):
        check_parity("engine", parity, FLOAT32)


def test_flipped_pixels_are_refused_even_where_levels_hardly_differ(strips) -> None:
    below, classes = np.full((1, 4, *strips.shape[1:]), 127, dtype=np.uint8), np.zeros((1, 4), dtype=np.uint8)
    parity = compare(lambda _: (below, classes), lambda _: (below + 1, classes), strips[:1], [128] * 4)
    assert (parity.largest, parity.flipped) == (1, 1.0)
    with pytest.raises(InputError, match="1 of pixels flip"):
        check_parity("engine", parity, FLOAT32)


def test_pytorch_in_float16_gives_what_float32_gives(member, strips) -> None:
    """The arithmetic, on the CPU; tests/gpu has the CUDA graphs."""
    expected = catalog.engine_class("torch").load(member)(strips)[0]
    model = cuda_graphs.to_float16(load_inference_graph(member, torch.device("cpu")))
    with torch.inference_mode():
        maps, classes = model(torch.from_numpy(strips)[:, None])
    assert (maps.dtype, classes.dtype) == (torch.uint8, torch.uint8)
    difference = np.abs(maps.numpy().astype(int) - expected)
    assert 0 < difference.mean() < 0.5


def test_pytorch_in_float16_without_a_gpu_names_another_engine(member) -> None:
    if gpu_count():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match=r"needs an NVIDIA GPU.*--engine openvino"):
        catalog.engine_class("torch-fp16").load(member)
