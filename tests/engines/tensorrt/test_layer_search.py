"""Layers that cost too much in a lower precision are found, returned to float32, and listed. Where an engine would run
on a GPU, ONNX Runtime runs the graph that it is built from."""

from __future__ import annotations

import json
import logging
import math
import shutil
from types import SimpleNamespace

import onnx
import pytest
from support.odd_graph import LIMITS, STRIPS, OddFold, engine, graph

from severstal.artifacts import read_json, write_text
from severstal.engines import dice_check, float32_layers
from severstal.engines.tensorrt import engine_file, layer_search, precision_conversion, sidecar
from severstal.engines.tensorrt.engine_file import EngineFile
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.paths import Paths

NAMES = {"fp16": "tensorrt", "int8": "tensorrt-int8"}
T4 = {"name": "NVIDIA T4", "driver_version": "1", "compute_cap": "7.5"}


def test_the_shortest_prefix_is_found_with_few_engines() -> None:
    for count in range(40):
        ranked = [f"layer {i}" for i in range(count)]
        for needed in range(1, count + 2):
            tried = []
            found = layer_search.bisect(
                ranked, lambda keep, needed=needed, tried=tried: tried.append(keep) or len(keep) >= needed
            )
            assert found == (None if needed > count else ranked[:needed])
            assert len(tried) <= 2 * math.log2(max(count, 1)) + 1
            assert len(set(map(len, tried))) == len(tried), "an engine was built twice"


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("odd", ["second", "fourth"])
def test_exactly_the_layer_that_cannot_bear_a_precision_returns_to_float32(precision, odd) -> None:
    model = graph(odd, precision)
    fold, built = OddFold(model), []

    def build(converted, layers):
        built.append((converted, layers))
        return engine(converted)

    of_all = fold.score(engine(precision_conversion.convert_precision(model, precision, STRIPS)))
    limit = LIMITS[precision]
    assert of_all < 1 - limit, "it can bear the precision"
    assert layer_search.search(model, precision, fold, build, limit) == [odd]
    converted, layers_in_float32 = built[-1]
    assert layers_in_float32 == [odd]
    assert fold.score(engine(converted)) >= 1 - limit


def test_values_too_large_for_float16_pass_between_layers_in_float32() -> None:
    model = graph("third", "fp16")
    nodes = {node.name: node for node in model.graph.node}
    nodes["third_relu"].input[0] = "third"  # is brought back only behind the next convolution
    nodes["fourth_relu"].input[0], nodes["bring_back"].input[0], nodes["bring_back"].output[0] = (
        "small",
        "fourth",
        "small",
    )
    model.graph.node.remove(nodes["bring_back"])
    model.graph.node.insert(list(model.graph.node).index(nodes["fourth_relu"]), nodes["bring_back"])
    onnx.checker.check_model(model, full_check=True)
    fold = OddFold(model)
    found = layer_search.search(model, "fp16", fold, lambda converted, layers: engine(converted), LIMITS["fp16"])
    assert sorted(found) == ["fourth", "third"]


def test_a_search_without_success_names_the_numbers_and_the_cure() -> None:
    model = graph("third", "fp16")
    fold = OddFold(model)
    fold.reference = 1.5
    with pytest.raises(InputError, match=r"loses 0\.50000 of Dice over 6 .* all 5 layers .* --engine tensorrt-fp32"):
        layer_search.search(model, "fp16", fold, lambda converted, layers: engine(converted), LIMITS["fp16"])


@pytest.fixture
def member(tmp_path, monkeypatch) -> Member:
    """A member on a machine with a GPU, whose engines hold the graph that they are built from."""
    member = Member(Paths(tmp_path, tmp_path / "folds", tmp_path), "odd", 0)
    write_text(member.files.weights, "weights")
    monkeypatch.setattr(engine_file, "library", lambda: SimpleNamespace(__name__="tensorrt", __version__="11.4"))
    monkeypatch.setattr(engine_file, "build_file", lambda graph, built, *_: shutil.copy(graph, built))
    monkeypatch.setattr(sidecar, "current_gpu", lambda: T4)
    monkeypatch.setattr(engine_file, "gpu_count", lambda: 1)
    monkeypatch.setattr(engine_file, "shared_buffers", lambda: None)
    monkeypatch.setattr(EngineFile, "_open", lambda file, buffers: engine(onnx.load(file.engine)))
    monkeypatch.setattr(dice_check, "MAX_DROP", LIMITS["int8"])
    return member


def metadata(file: EngineFile) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(file.converted).metadata_props}


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_engine_keeps_its_float32_layers_on_every_machine(member, precision, caplog, monkeypatch) -> None:
    model = graph("third", precision)
    onnx.save(model, member.files.onnx)
    file, fold = EngineFile(member, NAMES[precision], precision), OddFold(model)
    with caplog.at_level(logging.INFO, "severstal"):
        file.build(fold)
    assert f"{precision} costs 0." in caplog.text
    known = read_json(member.files.float32_layers(file.name), "")
    assert known["kept_in_float32"] == ["third"]
    assert known[f"drop_of_all_{precision}"] > 0.1
    assert json.loads(metadata(file)["kept_in_float32"]) == ["third"]
    assert float32_layers.describe(float32_layers.read(member, file.name)) == "1 of its layers stay in float32: third"
    assert file.differences() == []

    scored, content = fold.scored, file.converted.read_bytes()
    file.build(fold)
    assert fold.scored == scored, "what is known was scored again"
    monkeypatch.setattr(sidecar, "current_gpu", lambda: T4 | {"driver_version": "2"})
    built = file.engine.stat().st_mtime_ns
    file.build()
    assert file.engine.stat().st_mtime_ns > built
    assert file.converted.read_bytes() == content
    file.converted.unlink()
    file.build(fold)
    assert fold.scored == scored
    assert file.converted.read_bytes() == content

    # Another graph, one that bears it: everything anew.
    onnx.save(graph(), member.files.onnx)
    assert float32_layers.read(member, file.name) is None
    fold = OddFold(graph())
    file.build(fold)
    assert fold.scored == 1
    assert float32_layers.read(member, file.name) == []
    assert json.loads(metadata(file)["kept_in_float32"]) == []


def test_an_interrupted_search_starts_over_with_the_entire_network(member) -> None:
    model = graph("third", "fp16")
    onnx.save(model, member.files.onnx)
    file, fold = EngineFile(member, "tensorrt", "fp16"), OddFold(model)
    fold.reference = 1.5
    with pytest.raises(InputError, match="all 5 layers"):
        file.build(fold)
    assert len(json.loads(metadata(file)["kept_in_float32"])) == 5
    assert float32_layers.read(member, file.name) is None
    fold.reference = 1.0
    file.build(fold)
    assert float32_layers.read(member, file.name) == ["third"]


def test_without_a_gpu_or_a_lower_precision_nothing_is_scored(member, monkeypatch) -> None:
    model = graph("third", "fp16")
    onnx.save(model, member.files.onnx)
    fold = OddFold(model)
    EngineFile(member, "tensorrt-fp32", "fp32").build(fold)
    monkeypatch.setattr(engine_file, "gpu_count", lambda: 0)
    EngineFile(member, "tensorrt", "fp16").build(fold)
    assert fold.scored == 0
    assert float32_layers.read(member, "tensorrt") is None
