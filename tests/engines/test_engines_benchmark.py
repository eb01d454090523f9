"""The benchmark of engines, run on those of a CPU: its table, its file, and engines that fail."""

from __future__ import annotations

import gc
import shutil
import sys
import weakref

import numpy as np
import pytest
from support.commands import arguments_of
from support.scored_member import RULES, SIZE, write_out_of_fold
from support.tuned import TUNED

from benchmarks import engines
from severstal.artifacts import read_json, write_json
from severstal.engines import catalog
from severstal.engines.engine_check import EngineCheck
from severstal.engines.onnxruntime_engine import OnnxRuntimeEngine
from severstal.engines.openvino_engine import OpenVinoEngine
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.paths import Paths


@pytest.fixture
def experiment(fresh_member) -> Paths:
    """Two folds of the same weights, of which the second is not exported yet, and tuned values."""
    second = Member(fresh_member.paths, fresh_member.encoder, 1)
    second.files.folder.mkdir()
    write_json(second.files.config, read_json(fresh_member.files.config, "") | {"fold": 1})
    shutil.copy(fresh_member.files.weights, second.files.weights)
    write_out_of_fold(second)
    write_json(fresh_member.paths.postprocess, TUNED | {"rules": [rule.model_dump() for rule in RULES]})
    return fresh_member.paths


def run(paths: Paths, *options: str) -> None:
    argv, sys.argv = sys.argv, ["engines", *arguments_of(paths), *options]
    try:
        engines.main()
    finally:
        sys.argv = argv


def predict_everything(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps = np.full((len(strips), 4, *SIZE), 255, dtype=np.uint8)
    return maps, maps.max(axis=(2, 3))


@pytest.mark.slow
def test_every_engine_is_a_row_and_one_that_fails_does_not_stop_the_others(experiment, capsys, monkeypatch) -> None:
    run(experiment, "--engines=onnxruntime,openvino", "--strips=6", "--rounds=1")
    rows = read_json(experiment.engine_benchmark, "")["rows"]
    networks = [f"tu-resnet10t fold {fold}" for fold in (0, 0, 1, 1)] + ["all 2"] * 2
    assert [row["network"] for row in rows] == networks
    assert [row["engine"] for row in rows] == ["onnxruntime", "openvino"] * 3
    for row in rows:
        assert all(row[f"rate_{batch}"] > 0 for batch in (1, 4, 8))
        assert row["network"].startswith("all") or row["rate_files"] > 0
    assert all(row["largest"] <= 3 and abs(row["dice"] - row["pytorch"]) < 0.01 for row in rows[:4])
    assert capsys.readouterr().out.count("| tu-resnet10t fold") == 4

    monkeypatch.setattr(OpenVinoEngine, "load", lambda member: predict_everything)
    monkeypatch.setattr(OnnxRuntimeEngine, "averages_on_device", True)
    monkeypatch.setattr(OnnxRuntimeEngine, "average", lambda engines, weights: predict_everything)
    with pytest.raises(InputError, match=r"fold 0, openvino: .*does not match PyTorch.*all 2, onnxruntime: the mean"):
        run(experiment, "--engines=onnxruntime,openvino", "--strips=6", "--rounds=1")
    rows = read_json(experiment.engine_benchmark, "")["rows"]
    assert [row["engine"] for row in rows if "failure" in row] == ["openvino", "openvino", "onnxruntime"]


def test_without_a_gpu_its_engines_are_left_out_and_named(experiment, capsys, monkeypatch) -> None:
    monkeypatch.setattr(catalog, "gpu_count", lambda: 0)
    monkeypatch.setattr(catalog, "NAMES", ("torch-fp16", "onnxruntime"))
    run(experiment, "--strips=2", "--rounds=1")
    rows = read_json(experiment.engine_benchmark, "")["rows"]
    assert {row["engine"] for row in rows} == {"onnxruntime"}
    assert "left out: engine torch-fp16 needs an NVIDIA GPU" in capsys.readouterr().out
    with pytest.raises(InputError, match="needs an NVIDIA GPU"):
        run(experiment, "--engines=torch-fp16")


def test_an_engine_is_freed_after_its_row() -> None:
    """Otherwise the GPU's memory would have to hold all engines of all networks at once."""

    class Loaded:
        def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return predict_everything(strips)

    loaded = Loaded()
    alive, row = weakref.ref(loaded), EngineCheck("a network", "an engine", predict=loaded)
    del loaded
    engines.timed_and_freed(row, np.zeros((4, *SIZE), dtype=np.uint8), rounds=1)
    assert row.facts["rate_4"] > 0
    gc.collect()
    assert alive() is None
