"""Every encoder of every recipe is exported, matches PyTorch, and is built by TensorRT-RTX, which needs no GPU."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from support.experiments import SMALLEST, random_member

from severstal import recipe, recipe_files
from severstal.engines import catalog
from severstal.engines.base import FLOAT32
from severstal.engines.onnx_export import write_onnx
from severstal.engines.parity import check_parity, compare
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.library import library
from severstal.engines.tensorrt.precision_conversion import convert_precision

pytest.importorskip("tensorrt_rtx", reason="builds TensorRT engines without a GPU; it is not installed")

SIZE = (70, 100)  # neither is divisible by a network's stride, so the graph pads
RECIPE_OF = {encoder: name for name in recipe_files.names() for encoder in recipe.named(name).encoders}
LARGE = ("efficientnet-b3", "se_resnext50_32x4d", "tu-convnext_tiny")
ENCODERS = [
    pytest.param(encoder, marks=pytest.mark.slow if encoder in LARGE else ())
    for encoder in RECIPE_OF
    if encoder != SMALLEST  # the network of the other tests, see below
]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_encoder_with_a_classifier_exports_matches_pytorch_and_builds_in_float16(encoder, tmp_path) -> None:
    chosen = recipe.named(RECIPE_OF[encoder], {"tta": [], "classifier_loss_weight": 0.1})
    member = random_member(tmp_path, chosen.for_encoder(encoder), encoder, SIZE, spread=1.2)
    nodes, simplified_nodes = write_onnx(member)
    assert 0 < simplified_nodes <= nodes
    strips = np.random.default_rng(0).integers(0, 256, (3, *SIZE), dtype=np.uint8)
    reference = catalog.engine_class("torch").load(member)
    maps, classes = reference(strips)
    assert maps.std() > 3, "maps of one value would prove nothing"
    assert not np.array_equal(classes, maps.max(axis=(2, 3))), "the classifier is not in the graph"
    for name in ("onnxruntime", "openvino"):
        parity = compare(reference, catalog.engine_class(name).load(member), strips, [128] * 4)
        check_parity(f"{encoder}: {name}", parity, FLOAT32)
    converted = convert_precision(onnx.load(member.files.onnx), "fp16")
    assert len(build_plan(library(), converted.SerializeToString(), Profile())) > 100_000


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_network_of_several_views_builds_in_every_precision(precision, member, strips) -> None:
    converted = convert_precision(onnx.load(member.files.onnx), precision, list(strips))
    assert len(build_plan(library(), converted.SerializeToString(), Profile())) > 100_000
