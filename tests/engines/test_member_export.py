"""The export of a member: what its checks refuse is not kept and does not predict, and the ONNX file is shared."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from support.scored_member import RULES, SIZE

from severstal.artifacts import read_json, write_json
from severstal.data.training_set import read_training_set
from severstal.engines import float32_layers, member_export, onnx_export
from severstal.engines.dice_check import FoldScorer
from severstal.engines.onnxruntime_engine import OnnxRuntimeEngine
from severstal.engines.openvino_engine import OpenVinoEngine
from severstal.engines.openvino_int8_engine import NAME, OpenVinoInt8Engine
from severstal.engines.tensorrt_engine import TensorRTEngine
from severstal.engines.torch_engine import TorchEngine
from severstal.errors import EngineRefused, InputError
from severstal.experiment import Member
from severstal.inference.members import check_ready, identity
from severstal.kaggle import package

LEVELS = [128] * 4


@pytest.fixture
def tuned(fresh_member) -> Any:
    """What prediction asks the tuned values for."""
    return SimpleNamespace(
        members={fresh_member.name: fresh_member.weights_hash()}, ensemble_weights={fresh_member.encoder: 1}, rules=()
    )


def export(member: Member, engine_class: Any) -> None:
    member_export.export_member(member, engine_class, read_training_set(member.paths), RULES)


def predict_everything(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps = np.full((len(strips), 4, *SIZE), 255, dtype=np.uint8)
    return maps, maps.max(axis=(2, 3))


def write_own_files(member: Member, fold: FoldScorer | None = None) -> None:
    """The files of an int8 engine, without a network in them."""
    for file in OpenVinoInt8Engine.own_files(member):
        file.touch()
    float32_layers.write(member, NAME, "int8", 0.0, [])


def test_an_engine_that_loses_too_much_dice_is_deleted_and_does_not_predict(fresh_member, tuned, monkeypatch) -> None:
    monkeypatch.setattr(OpenVinoInt8Engine, "build", write_own_files)
    monkeypatch.setattr(OpenVinoInt8Engine, "load", TorchEngine.load)
    with monkeypatch.context() as patch:
        patch.setattr(FoldScorer, "score", lambda fold, predict: fold.reference - 0.1)
        with pytest.raises(EngineRefused, match=r"engine openvino-int8 loses 0\.1"):
            export(fresh_member, OpenVinoInt8Engine)
    assert not any(file.exists() for file in OpenVinoInt8Engine.own_files(fresh_member))
    with pytest.raises(InputError, match=r"engine openvino-int8 was refused .*loses 0\.1"):
        check_ready(fresh_member, tuned, NAME)
    assert fresh_member.files.sidecar(NAME) in package._files(fresh_member), "a session on Kaggle would build it again"
    for other in ("openvino", "torch", None):
        check_ready(fresh_member, tuned, other)
    assert not member_export.artifact(fresh_member, NAME).is_cached()

    export(fresh_member, OpenVinoInt8Engine)
    check_ready(fresh_member, tuned, NAME)
    assert fresh_member.files.sidecar(NAME) not in package._files(fresh_member)
    assert "dice" in read_json(fresh_member.files.sidecar(NAME), "")


def test_an_engine_without_own_files_that_differs_from_pytorch_does_not_predict(
    fresh_member, tuned, monkeypatch
) -> None:
    monkeypatch.setattr(OpenVinoEngine, "load", lambda member: predict_everything)
    with pytest.raises(EngineRefused, match=r"engine openvino does not match PyTorch: .* Predict with --engine torch"):
        export(fresh_member, OpenVinoEngine)
    with pytest.raises(InputError, match="engine openvino was refused"):
        check_ready(fresh_member, tuned, "openvino")
    check_ready(fresh_member, tuned, "onnxruntime")
    fresh_member.files.weights.unlink()  # it is a link to the file of other tests
    fresh_member.files.weights.write_bytes(b"trained again")
    tuned.members[fresh_member.name] = fresh_member.weights_hash()
    with pytest.raises(InputError, match="belongs to another configuration"):  # it is exported again now
        check_ready(fresh_member, tuned, "openvino")


def test_a_graph_that_differs_from_pytorch_is_not_kept_and_pytorch_predicts_without_one(
    fresh_member, tuned, strips, monkeypatch
) -> None:
    graph = onnx.load(fresh_member.files.onnx)
    monkeypatch.setattr(onnx_export, "_export", lambda member: graph)
    monkeypatch.setattr(onnx_export.onnxsim, "simplify", lambda model: (model, True))
    fresh_member.files.onnx.unlink()
    with pytest.raises(EngineRefused, match=r"ONNX file, which is not kept, does not match .* --engine torch"):
        member_export.export_onnx(fresh_member, predict_everything, strips, LEVELS)
    assert not [file.name for file in fresh_member.files.folder.iterdir() if "onnx" in file.name]
    check_ready(fresh_member, tuned, "torch")
    assert identity([fresh_member], tuned, "torch")["networks"].keys() == {fresh_member.name}
    with pytest.raises(InputError, match=r"model\.onnx is missing"):
        check_ready(fresh_member, tuned, "openvino")

    member_export.export_onnx(fresh_member, TorchEngine.load(fresh_member), strips, LEVELS)
    check_ready(fresh_member, tuned, "openvino")


def test_the_onnx_file_is_exported_once_for_all_engines(fresh_member, monkeypatch) -> None:
    monkeypatch.setattr(onnx_export, "write_onnx", lambda *arguments: pytest.fail("it was exported again"))
    for engine_class in (OnnxRuntimeEngine, OpenVinoEngine):
        export(fresh_member, engine_class)
    for name in ("onnxruntime", "openvino"):
        assert member_export.artifact(fresh_member, name).is_cached()


def test_prediction_in_int8_needs_openvino_and_only_the_export_needs_nncf(fresh_member, fold, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find(name) if name != "nncf" else None)
    assert OpenVinoInt8Engine.is_installed()
    with pytest.raises(InputError, match=r"NNCF.* is not installed: run `\.venv/bin/pip install -r requirements\.txt`"):
        OpenVinoInt8Engine.build(fresh_member, fold)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find(name) if name != "openvino" else None)
    assert not OpenVinoInt8Engine.is_installed()


def test_int8_files_of_another_graph_are_refused(fresh_member) -> None:
    write_own_files(fresh_member)
    layers = fresh_member.files.float32_layers(NAME)
    write_json(layers, read_json(layers, "") | {"onnx": "of an earlier training"})
    with pytest.raises(InputError, match=r"was not made from the present model\.onnx: run .*--engine openvino-int8"):
        OpenVinoInt8Engine.load(fresh_member)


def test_the_own_files_of_a_tensorrt_engine_are_those_that_carry_its_name(fresh_member) -> None:
    names = {file.name for file in TensorRTEngine.own_files(fresh_member)}
    assert names == {"model.tensorrt", "model.tensorrt-build.json", "model.tensorrt.onnx", "model.tensorrt-layers.json"}
