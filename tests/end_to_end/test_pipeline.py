"""Every stage through bin/run_all.sh, as a user runs it, on a small synthetic set: from nothing to a submission.

The run is done once. What follows it (a second run, a deleted fold) goes through the same stages in this process.
"""

from __future__ import annotations

import shutil
from collections import Counter

import cv2
import numpy as np
import pandas as pd
import pytest
from support.commands import run_bin, run_stage_in_process
from support.plain_tuning import grids_of_map

from benchmarks.tuning_baselines import opencv_labels
from severstal.artifacts import read_json
from severstal.data import out_of_fold
from severstal.data.labels import CLASSES, masks, read_labels
from severstal.data.tables import read_table
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.rules import ComponentArea, DualThreshold

ENCODERS = ("tu-mobilenetv4_conv_small", "tu-regnety_002")
TRAIN_STRIPS, TEST_STRIPS = 24, 6
RECIPE = (
    f"--recipe=sample --encoders={','.join(ENCODERS)} --epochs 1 --samples-per-epoch 16 "
    "--batch-size 8 --crop-height 64 --crop-width 64 --decoder-channels 16,16,8"
).split()
STAGES = ("make_folds", "train", "tune", "export", "predict", "report")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Paths:
    """A finished run: two encoders in two folds."""
    root = tmp_path_factory.mktemp("run")
    paths = Paths(root / "input", root / "folds", root / "submissions")
    run_stage_in_process("make_input", paths, "--train", TRAIN_STRIPS, "--test", TEST_STRIPS)
    # Both ways to write a folder's option.
    run = run_bin(
        "run_all", f"--input={paths.input}", "--folds", paths.folds, f"--submissions={paths.submissions}", *RECIPE
    )
    assert "synthetic steel" in run.stdout
    assert "expected score" in run.stdout
    assert "score on the test strips' truth" in run.stdout
    return paths


def modification_times(paths: Paths) -> dict[str, int]:
    """Of everything that the stages wrote, but TensorBoard's logs."""
    files = [*paths.folds.rglob("*"), *paths.submissions.rglob("*")]
    return {str(file): file.stat().st_mtime_ns for file in files if file.is_file() and "events" not in file.name}


def run_stages(paths: Paths) -> str:
    """Run all stages again; what they printed."""
    return "".join(run_stage_in_process(stage, paths).stdout for stage in STAGES)


def test_the_submission_holds_four_rows_of_each_test_strip(experiment) -> None:
    table = read_table(experiment.submission)
    assert table.columns == ["ImageId", "EncodedPixels", "ClassId"]
    assert set(Counter(row[0] for row in table.rows).values()) == {4}
    assert len(table.rows) == TEST_STRIPS * 4
    assert "valid: 6 strips, 24 rows" in run_stage_in_process("submit", experiment, "--dry-run").stdout


def test_the_tuned_grid_is_exact_on_the_networks_own_maps(experiment) -> None:
    labels = read_labels(experiment.train_csv, 256, 1600)
    for encoder in ENCODERS:
        fold_maps = out_of_fold.FoldMaps(experiment.fold(encoder, 0).oof, "")
        image = fold_maps.images[0]
        truths = masks(labels.get(image, {}), 256, 1600)
        for probability, truth in zip(fold_maps[image], truths, strict=True):
            exact = grids_of_map(probability, truth)[ComponentArea]
            assert np.array_equal(exact, opencv_labels(probability, truth))


def test_the_pictures_and_tables_of_tuning_show_the_chosen_values(experiment) -> None:
    values = tuned_values.read(experiment)
    for defect, rule in zip(CLASSES, values.rules, strict=True):
        assert cv2.imread(str(experiment.grid_picture(defect))).shape[1] > 800
        table = pd.read_csv(experiment.grid_table(defect), index_col=0)
        if not isinstance(rule, DualThreshold):
            cell = getattr(rule, rule.horizontal().name), str(getattr(rule, rule.vertical().name))
            assert table.loc[cell] == pytest.approx(values.scores["tuned"][str(defect)], abs=1e-5)


def test_the_report_names_the_synthetic_steel_and_the_time_of_every_stage(experiment) -> None:
    assert ">synthetic steel</strong>" in experiment.report_page.read_text()
    facts = read_json(experiment.report_facts, "bash bin/report.sh")
    assert [row["stage"] for row in facts["times"]] == ["folds", "train", "tune", "export", "predict"]
    assert (
        facts["test_score"]["mean"] == read_json(experiment.submission_report, "bash bin/predict.sh")["score"]["mean"]
    )
    assert len(facts["training"]) == len(facts["engines"]) == 4


def test_a_second_run_changes_no_file(experiment) -> None:
    before = modification_times(experiment)
    printed = run_stages(experiment)
    assert modification_times(experiment) == before
    # folds, networks, tuning, engines, submission, report
    assert printed.count("   cached ") == 1 + 4 + 1 + 4 + 1 + 1


def test_deleting_the_folder_of_one_fold_redoes_that_fold_and_what_depends_on_it(experiment) -> None:
    before = modification_times(experiment)
    fold = experiment.fold("tu-regnety_002", 1)
    shutil.rmtree(fold.folder)
    run_stages(experiment)
    after = modification_times(experiment)
    others = [file for file in before if f"{fold.folder}/" not in file and experiment.folds.name in file]
    tuned = [experiment.postprocess, experiment.strip_scores, experiment.times]
    tuned += [*map(experiment.grid_picture, CLASSES), *map(experiment.grid_table, CLASSES)]
    assert {file for file in others if before[file] != after[file]} <= set(map(str, tuned))
    assert fold.weights.exists()
    assert fold.onnx.exists()


def test_a_network_that_was_not_exported_stops_prediction_and_names_the_command(experiment) -> None:
    onnx = experiment.fold("tu-regnety_002", 0).onnx
    aside = onnx.rename(onnx.with_suffix(".aside"))
    try:
        refused = run_stage_in_process("predict", experiment, check=False)
    finally:
        aside.rename(onnx)
    assert refused.returncode == 2
    assert "bash bin/export.sh tu-regnety_002 0" in refused.stderr


def test_strips_of_ones_own_are_predicted_without_the_competitions_files(experiment, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(experiment.test_images, "mill")
    paths = Paths(tmp_path / "nothing", experiment.folds, tmp_path / "out")
    run_stage_in_process("predict", paths, "--images=mill", "--engine", "onnxruntime")
    assert len(read_table(paths.submission).rows) == TEST_STRIPS * 4


def test_plain_values_need_no_training_and_are_not_called_tuned(experiment, tmp_path) -> None:
    paths = Paths(experiment.input, tmp_path / "folds", tmp_path / "submissions")
    shutil.copytree(experiment.folds, paths.folds)
    run_stage_in_process("make_folds", paths, "--postprocess", "plain")
    assert "epoch" not in run_stage_in_process("train", paths).stdout
    printed = run_stage_in_process("tune", paths).stdout
    assert "plain values" in printed
    assert "class 4: pixels from 128/255, masks from 584 px, none below a class probability of 128/255" in printed
    assert "nested" not in printed
    run_stage_in_process("export", paths)
    run_stage_in_process("predict", paths)
    run_stage_in_process("report", paths)
    assert "None was chosen on these strips" in paths.report_page.read_text()
