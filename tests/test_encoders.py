"""Every encoder of every recipe: exported, simplified, equal to PyTorch, and built by TensorRT in every precision."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from severstal import engines, exporting, network, recipe, weights
from severstal.artifacts import write_json
from severstal.engines.tensorrt.builder import Profile, build_plan
from severstal.engines.tensorrt.precision import to_float16, to_int8
from severstal.member import FoldConfig, Member
from severstal.paths import Paths

ENCODERS = sorted({name for values in recipe.RECIPES.values() for name in values["encoders"]})


@pytest.fixture
def rtx():
    return pytest.importorskip("tensorrt_rtx", reason="builds TensorRT engines without a GPU; it is not installed")


def noise(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 64, 128), dtype=np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_of_every_recipe_is_exported_matches_and_is_built_in_every_precision(
    encoder, tmp_path, rtx
) -> None:
    made = Member(Paths(tmp_path, tmp_path, tmp_path), encoder, 0)
    row = next(values for values in recipe.RECIPES.values() if encoder in values["encoders"])
    chosen = recipe.build({"name": "all"} | row | {"weights": "none"}).for_encoder(encoder)
    config = FoldConfig(
        encoder=encoder, fold=0, recipe=chosen, overrides={}, data="", made_up=True, height=64, width=128,
        mean=0.4, std=0.2, versions={},
    )  # fmt: skip
    torch.manual_seed(0)
    write_json(made.files.config, config.model_dump())
    weights.save(made.files.weights, network.build(chosen, encoder, pretrained=False).state_dict(), {})
    exporting.write_onnx(made)
    pictures = np.stack(noise(3))
    reference, engine = engines.runtime("torch").load(made), engines.runtime("onnxruntime").load(made)
    exporting.check_parity(
        encoder, exporting.compare(reference, engine, pictures, [128] * 4), engines.Tolerance(3, 0.01)
    )
    model = onnx.load(made.files.onnx)
    for converted in (model, to_float16(onnx.load(made.files.onnx)), to_int8(model, noise(4))):
        assert kinds(converted) == {onnx.TensorProto.UINT8}
        assert len(build_plan(rtx, converted.SerializeToString(), Profile(1, 2, 2))) > 100_000


def kinds(model: onnx.ModelProto) -> set[int]:
    return {value.type.tensor_type.elem_type for value in [*model.graph.input, *model.graph.output]}
