"""Every encoder of every recipe is exported, matches PyTorch, and is built by TensorRT-RTX, which needs no GPU."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from support.experiments import random_member

from severstal import recipe, recipe_files
from severstal.engines import catalog
from severstal.engines.base import FLOAT32
from severstal.engines.export import write_onnx
from severstal.engines.parity import check_parity, compare
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.library import library
from severstal.engines.tensorrt.precision_conversion import convert_precision

pytest.importorskip("tensorrt_rtx", reason="builds TensorRT engines without a GPU; it is not installed")

SIZE = (64, 64)
RECIPE_OF = {encoder: name for name in recipe_files.names() for encoder in recipe.named(name).encoders}
LARGE = ("efficientnet-b3", "se_resnext50_32x4d", "tu-convnext_tiny")


@pytest.mark.parametrize(
    "encoder",
    [pytest.param(encoder, marks=pytest.mark.slow if encoder in LARGE else ()) for encoder in RECIPE_OF],
)
def test_an_encoder_exports_matches_pytorch_and_builds_in_float16(encoder, tmp_path) -> None:
    values = recipe.named(RECIPE_OF[encoder], {"tta": []}).for_encoder(encoder)
    member = random_member(tmp_path, values, encoder, SIZE, spread=1.2)
    nodes, simplified_nodes = write_onnx(member)
    assert 0 < simplified_nodes <= nodes
    strips = np.random.default_rng(0).integers(0, 256, (3, *SIZE), dtype=np.uint8)
    reference = catalog.engine_class("torch").load(member)
    assert reference(strips)[0].std() > 3, "maps of one value would prove nothing"
    parity = compare(reference, catalog.engine_class("onnxruntime").load(member), strips, [128] * 4)
    check_parity(encoder, parity, FLOAT32)
    converted = convert_precision(onnx.load(member.files.onnx), "fp16")
    assert len(build_plan(library(), converted.SerializeToString(), Profile())) > 100_000


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_network_of_several_views_builds_in_the_other_precisions(precision, member, strips) -> None:
    converted = convert_precision(onnx.load(member.files.onnx), precision, list(strips))
    assert len(build_plan(library(), converted.SerializeToString(), Profile())) > 100_000
