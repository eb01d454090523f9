"""ONNX files that are damaged, missing or of other weights stop prediction, and name the command to run."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from support.commands import run_refused
from support.experiments import write_tiny_strips
from support.training import ENCODER
from support.tuned import TUNED
from support.untrained_folds import write_untrained_folds

from severstal.artifacts import write_json
from severstal.engines import onnx_file
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.models import weights


@pytest.fixture
def member(tiny) -> Member:
    """A member with a graph that belongs to its weights and does nothing."""
    member = write_untrained_folds(tiny).member
    node = onnx.helper.make_node("Identity", ["strips"], ["probability"])
    values = [onnx.helper.make_tensor_value_info(name, 2, [1]) for name in ("strips", "probability")]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:]))
    onnx.helper.set_model_props(model, onnx_file.identity(member))
    onnx.save(model, member.files.onnx)
    onnx_file.check_identity(member)
    return member


def test_a_graph_that_was_cut_short_is_refused_wherever_it_ends(member) -> None:
    intact = member.files.onnx.read_bytes()
    for size in range(len(intact)):
        member.files.onnx.write_bytes(intact[:size])
        with pytest.raises(InputError, match=f"run `bash bin/export.sh {ENCODER} 0 "):
            onnx_file.check_identity(member)


def test_prediction_refuses_a_graph_of_other_weights_and_a_missing_one(tiny, member) -> None:
    weights.save(member.files.weights, {"layer": torch.ones(1)}, {})
    with pytest.raises(InputError, match=r"belongs to another configuration \(weights"):
        onnx_file.check_identity(member)
    write_tiny_strips(tiny.test_images, 1)
    write_json(tiny.postprocess, TUNED)
    assert f"{ENCODER} fold 0 was trained after tuning: run `bash bin/tune.sh " in run_refused("predict", tiny)
    write_json(tiny.postprocess, TUNED | {"members": {member.name: member.weights_hash()}})
    assert "belongs to another configuration (weights" in run_refused("predict", tiny)
    member.files.onnx.unlink()
    assert f"{member.files.onnx} is missing" in run_refused("predict", tiny)


def test_a_graph_with_a_changed_weight_is_refused(member) -> None:
    weight = onnx.numpy_helper.from_array(np.full(64, 1.5, np.float32), "weight")
    node = onnx.helper.make_node("Add", ["strips", "weight"], ["probability"])
    values = [onnx.helper.make_tensor_value_info(name, 1, [64]) for name in ("strips", "probability")]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:], [weight]))
    graph = {onnx_file.GRAPH: onnx_file.graph_hash(model)}
    onnx.helper.set_model_props(model, onnx_file.identity(member) | graph)
    onnx.save(model, member.files.onnx)
    onnx_file.check_identity(member)
    intact = member.files.onnx.read_bytes()
    member.files.onnx.write_bytes(intact.replace(np.float32(1.5).tobytes(), np.float32(-1.5).tobytes(), 1))
    with pytest.raises(InputError, match=r"is damaged .* run `bash bin/export\.sh"):
        onnx_file.check_identity(member)
