"""A member's TensorRT files: built once per graph and machine, rebuilt where they do not fit. Builder and GPU are
stand-ins; test_builder.py builds for real."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest
from support import fake_tensorrt
from support.fake_tensorrt import HEIGHT, WIDTH, FakeBuffers, write_engine

from severstal.artifacts import file_hash, read_json
from severstal.engines import catalog
from severstal.engines.base import BuildTimeout
from severstal.engines.tensorrt import engine_file, sidecar
from severstal.engines.tensorrt.engine_file import EngineFile
from severstal.errors import InputError
from severstal.hardware import gpu_count

DAMAGES = [f"{subject} {change}" for subject in ("engine", "record") for change in ("missing", "truncated")]
DAMAGES += ["graph truncated", "graph new"]
T4 = {"name": "NVIDIA T4", "driver_version": "1", "compute_cap": "7.5"}


class Calibration:
    """What int8 needs of a fold."""

    def __init__(self, strips: np.ndarray) -> None:
        self._strips = list(strips)

    def calibration_strips(self) -> list[np.ndarray]:
        return self._strips


@pytest.fixture
def buffers() -> FakeBuffers:
    return FakeBuffers()


@pytest.fixture
def library(buffers):
    """A stand-in of the module ``tensorrt`` on a machine with a GPU."""
    return fake_tensorrt.library(buffers)


@pytest.fixture
def builds(monkeypatch, buffers, library) -> list[tuple]:
    """Graph and timing cache of every build; the built engine is one of the stand-in."""
    builds = []

    def build(graph, engine, profile, cache, seconds) -> None:
        if seconds is not None and seconds <= 0:
            raise BuildTimeout("no time")
        builds.append((graph.name, cache))
        write_engine(engine, factor=1)

    monkeypatch.setattr(engine_file, "library", lambda: library)
    monkeypatch.setattr(engine_file, "shared_buffers", lambda: buffers)
    monkeypatch.setattr(engine_file, "gpu_count", lambda: 0)  # nothing is scored: test_layer_search.py does that
    monkeypatch.setattr(engine_file, "build_file", build)
    monkeypatch.setattr(sidecar, "current_gpu", lambda: T4)
    return builds


def test_an_engine_is_built_once_per_graph_and_machine(fresh_member, monkeypatch, builds) -> None:
    file = EngineFile(fresh_member, "tensorrt", "fp16")
    file.build()
    assert file.differences() == []
    file.build()
    assert [graph for graph, _ in builds] == ["model.tensorrt.onnx"], "built again although nothing changed"
    known = read_json(file.build_record, "")["cached_from"]["inputs"]
    assert (known["gpu"], known["compute_capability"], known["driver"]) == ("NVIDIA T4", "7.5", "1")
    assert (known["library"], known["version"], known["precision"]) == ("tensorrt", "11.4", "fp16")
    assert known["profile"] == {"min_batch": 1, "opt_batch": 4, "max_batch": 8}
    assert known["onnx"] == file_hash(file.converted)
    assert known["weights"] == fresh_member.weights_hash()
    monkeypatch.setattr(sidecar, "current_gpu", lambda: T4 | {"name": "NVIDIA L4", "compute_cap": "8.9"})
    assert file.differences() == ["gpu NVIDIA T4, now NVIDIA L4", "compute_capability 7.5, now 8.9"]
    file.build()
    assert len(builds) == 2
    assert file.differences() == []


def test_every_gpu_driver_and_library_has_a_timing_cache_of_its_own(fresh_member, monkeypatch, builds, library) -> None:
    file = EngineFile(fresh_member, "tensorrt", "fp16")
    file.build()
    monkeypatch.setattr(sidecar, "current_gpu", lambda: T4 | {"name": "NVIDIA L4"})
    file.build()
    monkeypatch.setattr(sidecar, "current_gpu", lambda: T4 | {"driver_version": "2"})
    file.build()
    library.__version__ = "11.5"
    file.build()
    caches = [cache for _, cache in builds]
    assert len(set(caches)) == 4
    assert caches[0] == fresh_member.paths.folds / "cache" / "tensorrt" / "tensorrt-11.4-NVIDIA-T4-7.5-1.timing"


def test_what_is_built_is_loaded_without_time_for_building(fresh_member, builds) -> None:
    file = EngineFile(fresh_member, "tensorrt", "fp16")
    with pytest.raises(BuildTimeout):
        file.load(build_seconds=0)
    file.build()
    assert file.load(build_seconds=0)(np.zeros((1, HEIGHT, WIDTH), dtype=np.uint8))


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_do_not_belong_together_are_rebuilt(fresh_member, builds, damage) -> None:
    file = EngineFile(fresh_member, "tensorrt-fp32", "fp32")
    file.build()
    subject, change = damage.split()
    path = {"engine": file.engine, "record": file.build_record, "graph": file.converted}[subject]
    if change == "missing":
        path.unlink()
    elif change == "truncated":
        path.write_bytes(path.read_bytes()[:-5])
    else:
        model = onnx.load(fresh_member.files.onnx)
        model.producer_name = "another"
        fresh_member.files.onnx.unlink()  # a link to the shared one
        onnx.save(model, fresh_member.files.onnx)
    assert len(file.differences()) == 1
    file.build()
    assert file.differences() == []
    assert len(builds) == 2


def test_loading_an_engine_of_another_version_rebuilds_it_and_says_so(fresh_member, builds, library, caplog) -> None:
    file = EngineFile(fresh_member, "tensorrt-fp32", "fp32")
    file.build()
    file.load()
    assert len(builds) == 1, "an engine that fits was built again"
    library.__version__ = "11.5"
    caplog.clear()
    with caplog.at_level(logging.INFO, "severstal"):
        runner = file.load()
    assert len(builds) == 2
    messages = [record.getMessage() for record in caplog.records]
    assert "does not fit here (version 11.4, now 11.5)" in messages[0]
    assert "engine built in" in messages[1]
    assert runner(np.zeros((1, HEIGHT, WIDTH), dtype=np.uint8))[0].shape == (1, 4, HEIGHT, WIDTH)


def test_an_engine_that_the_gpu_refuses_although_its_record_fits_is_rebuilt(fresh_member, builds) -> None:
    file = EngineFile(fresh_member, "tensorrt-fp32", "fp32")
    file.build()
    file.engine.write_bytes(b"\x00ftrt")
    file.artifact().write_record()
    assert file.differences() == []
    file.load()
    assert len(builds) == 2


def test_int8_is_calibrated_once_and_rebuilt_without_strips(fresh_member, strips, builds, monkeypatch) -> None:
    file = EngineFile(fresh_member, "tensorrt-int8", "int8")
    file.build(Calibration(strips))
    graph = file_hash(file.converted)
    monkeypatch.setattr(sidecar, "current_gpu", lambda: T4 | {"driver_version": "2"})
    file.build()
    assert len(builds) == 2
    assert file.differences() == []
    assert file_hash(file.converted) == graph
    file.converted.unlink()
    with pytest.raises(InputError, match="needs training strips"):
        file.build()


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-fp32", "tensorrt-int8"])
def test_without_a_gpu_loading_is_refused_before_tensorrt_is_touched(name, member, monkeypatch) -> None:
    if gpu_count():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(engine_file, "LoadedEngine", None)
    with pytest.raises(InputError, match="needs an NVIDIA GPU"):
        catalog.engine_class(name).load(member)
