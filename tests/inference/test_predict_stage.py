"""The stage as a user calls it: time limits that leave members out, and damaged strips, as whole runs."""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.commands import ROOT, arguments_of, run_stage_alone
from support.experiments import write_tiny_strips
from support.exported_run import write_exported

from severstal.engines.openvino_engine import OpenVinoEngine
from severstal.paths import Paths

SLOW = 0.2  # seconds per strip of the network that is slowed down
STRIPS = 40


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Paths:
    """Two networks that predict, and a folder of forty strips."""
    paths = write_exported(tmp_path_factory.mktemp("run"))
    write_tiny_strips(paths.input / "mill", STRIPS)
    return paths


@pytest.fixture
def predict(exported, tmp_path, monkeypatch, capsys):
    """The stage in this process, the second network slow; returns what it said, and its folder."""
    load = OpenVinoEngine.load

    def slow_load(member):
        engine = load(member)

        def call(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            time.sleep(SLOW * len(strips) if member.fold else 0)
            return engine(strips)

        return call

    def run(*arguments: str) -> tuple[str, Paths]:
        monkeypatch.setattr(OpenVinoEngine, "load", slow_load)
        paths = Paths(exported.input, exported.folds, tmp_path / "masks")
        given = ["predict", *arguments_of(paths), "--images", str(exported.input / "mill"), *arguments]
        monkeypatch.setattr(sys, "argv", [*given, "--engine", "openvino"])
        runpy.run_path(str(ROOT / "src" / "predict.py"), run_name="predict")["main"]()
        return capsys.readouterr().out, paths

    return run


def rows_of(paths: Paths) -> pd.DataFrame:
    return pd.read_csv(paths.submission, keep_default_na=False)


def test_in_time_the_whole_ensemble_goes_on_and_gives_what_it_gives_without_a_limit(predict) -> None:
    said, paths = predict("--time-limit", "1h")
    assert "the whole ensemble finishes in time" in said
    limited = rows_of(paths)
    paths.submission_report.unlink()
    predict()
    pd.testing.assert_frame_equal(limited, rows_of(paths))


def test_out_of_time_the_slow_member_is_left_out_by_name_and_the_rest_is_written(predict) -> None:
    said, paths = predict("--time-limit", "6s")  # 12 strips take 2.4 s, the other 28 would take 5.9
    assert "goes on without tu-mobilenetv4_conv_small fold 1" in said
    report = json.loads(paths.submission_report.read_text())
    assert list(report["members"]) == ["tu-mobilenetv4_conv_small fold 0"]
    assert len(rows_of(paths)) == 4 * STRIPS
    again, _ = predict()
    assert "cached " not in again, "an ensemble that was cut short is worth another try"
    assert len(json.loads(paths.submission_report.read_text())["members"]) == 2


def test_where_no_member_finishes_the_quickest_is_named_and_nothing_is_written(exported, tmp_path) -> None:
    paths = Paths(exported.input, exported.folds, tmp_path / "masks")
    done = run_stage_alone("predict", paths, "--images", exported.input / "mill", "--time-limit", "0s", check=False)
    assert done.returncode == 2
    assert "no member of the ensemble finishes in the 0.0 s that are left; the quickest, tu-mobile" in done.stderr
    assert "longer --time-limit" in done.stderr
    assert not paths.submission.exists()


def test_a_damaged_strip_stops_the_run_or_is_predicted_empty_and_listed(exported, tmp_path) -> None:
    folder = tmp_path / "strips"
    write_tiny_strips(folder, 14)
    broken = sorted(folder.iterdir())[13]
    broken.write_bytes(broken.read_bytes()[:300])
    paths = Paths(exported.input, exported.folds, tmp_path / "masks")
    stopped = run_stage_alone("predict", paths, "--images", folder, check=False)
    assert stopped.returncode == 2
    assert broken.name in stopped.stderr
    assert not paths.submission.exists()
    done = run_stage_alone("predict", paths, "--images", folder, "--on-error", "empty")
    assert f"predicted empty, as it is damaged: {broken.name}" in done.stdout
    codes = rows_of(paths)
    empty = codes[codes.iloc[:, 0].str.startswith(broken.name)]
    assert len(empty) == 4
    assert (empty["EncodedPixels"] == "").all()
    assert (codes["EncodedPixels"] != "").any(), "networks that draw nothing would prove nothing"


@pytest.mark.parametrize("text", ["55", "soon", ""])
def test_a_time_limit_is_a_length_of_time(exported, tmp_path: Path, text: str) -> None:
    paths = Paths(exported.input, exported.folds, tmp_path / "masks")
    done = run_stage_alone("predict", paths, f"--time-limit={text}", check=False)
    assert done.returncode == 2
    assert "write it like 55m" in done.stderr
