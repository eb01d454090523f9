"""Benchmarks after a normal installation: what is not exported or not installed is a line, and the rest is measured."""

from __future__ import annotations

import importlib.util

import pytest

from benchmarks import inference, tuning
from severstal.console import Stage
from severstal.data.training_set import read_training_set
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.paths import Paths


@pytest.fixture
def stage(tiny: Paths) -> Stage:
    return Stage("benchmark", tiny)


@pytest.fixture
def without_baselines(monkeypatch) -> None:
    """As if ``bash bin/setup.sh`` had run without ``--dev``."""
    find, missing = importlib.util.find_spec, ("pycocotools", "higra", "skimage")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in missing else find(name, *more))


def test_engines_that_the_network_was_not_exported_for_are_left_out(exported, stage, capsys) -> None:
    member = Member(exported, "tu-resnet10t", 0)
    assert list(inference.load_engines(stage, member, None)) == ["onnxruntime", "openvino"]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert "openvino-int8 is left out" in line
    assert "--engine openvino-int8" in line, "the command that makes it"
    with pytest.raises(InputError, match="was not exported for openvino-int8"):
        inference.load_engines(stage, member, "openvino,openvino-int8")


def test_a_network_that_was_not_exported_at_all_names_the_command(stage, tiny) -> None:
    with pytest.raises(InputError, match=r"has no engine to time: run `bash bin/export\.sh tu-resnet10t 0 "):
        inference.load_engines(stage, Member(tiny, "tu-resnet10t", 0), None)


@pytest.mark.usefixtures("without_baselines")
def test_our_run_length_codes_are_timed_without_pycocotools(stage, tiny, capsys) -> None:
    inference.run_length_codes(stage, read_training_set(tiny))
    shown = capsys.readouterr().out
    assert "coding by pycocotools is left out" in shown
    assert "bin/setup.sh --dev" in shown
    assert "ours encode" in shown
    assert "pycocotools encode" not in shown


@pytest.mark.usefixtures("without_baselines")
def test_tuning_is_timed_against_the_libraries_that_are_installed(stage, capsys) -> None:
    assert list(tuning.installed_baselines(stage)) == ["OpenCV, a labelling per threshold"]
    assert capsys.readouterr().out.count("left out") == 2
