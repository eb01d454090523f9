"""Tuned values are cached for as long as tuning would try the same."""

from __future__ import annotations

import runpy
from dataclasses import replace
from types import SimpleNamespace

from support.commands import ROOT

from severstal.artifacts import Artifact
from severstal.data.training_set import read_training_set
from severstal.paths import Paths
from severstal.postprocess.rules import MaskArea


def values_artifact(paths: Paths) -> Artifact:
    """The artifact of an experiment without networks, of its record alone."""
    stage = runpy.run_path(str(ROOT / "src" / "tune.py"))
    source = SimpleNamespace(fold_maps={}, has_heads=False)
    return replace(stage["values_artifact"](paths, read_training_set(paths), source, is_plain=False), files=())


def test_another_grid_of_a_rule_is_tried_on_an_experiment_that_is_tuned(tiny, monkeypatch) -> None:
    values_artifact(tiny).write_record()
    assert values_artifact(tiny).is_cached()
    monkeypatch.setattr(MaskArea, "axes", MaskArea.axes[:1])
    assert values_artifact(tiny).differences() == ["rules: mask_area changed"]
