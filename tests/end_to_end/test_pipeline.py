"""The real stages through bin/, as a user runs them, on a small synthetic set: from nothing to a submission."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from support.commands import arguments_of, run_bin
from support.plain_tuning import grids_of_map, plain_component_area

from severstal.artifacts import read_json
from severstal.data import out_of_fold
from severstal.data.labels import CLASSES, masks, read_labels, read_table
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.rules import ComponentArea, DualThreshold

ENCODERS = "tu-mobilenetv4_conv_small,tu-regnety_002"
RECIPE = (
    f"--recipe sample --encoders {ENCODERS} --epochs 1 --samples-per-epoch 16 --batch-size 8 "
    "--crop-height 64 --crop-width 64 --decoder-channels 16,16,8,8,8"
).split()

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Paths:
    root = tmp_path_factory.mktemp("run")
    paths = Paths(root / "input", root / "folds", root / "submissions")
    run_bin("make_input", f"--input={paths.input}", "--train", 24, "--test", 6)
    done = run_bin("run_all", *as_pairs(paths), *RECIPE)
    assert "synthetic steel" in done.stdout
    assert "expected score" in done.stdout
    assert "score on the test strips' truth" in done.stdout
    return paths


def as_pairs(paths: Paths) -> list[str]:
    return [part for argument in arguments_of(paths) for part in argument.split("=", 1)]


def stamps(paths: Paths) -> dict[str, int]:
    """Time of change of everything that the stages wrote."""
    files = [*paths.folds.rglob("*"), *paths.submissions.rglob("*")]
    return {str(file): file.stat().st_mtime_ns for file in files if file.is_file() and "events" not in file.name}


def test_the_submission_is_whole(experiment) -> None:
    table = read_table(experiment.submission)
    assert table.columns == ["ImageId", "EncodedPixels", "ClassId"]
    assert len(table.rows) == 6 * 4
    assert "valid: 6 strips, 24 rows" in run_bin("submit", *arguments_of(experiment), "--dry-run").stdout


def test_the_sweep_is_exact_on_the_networks_own_maps(experiment) -> None:
    labels = read_labels(experiment.train_csv, 256, 1600)
    for encoder in ENCODERS.split(","):
        store = out_of_fold.FoldMaps(experiment.fold(encoder, 0).oof, "")
        for image in store.images[:2]:
            truths = masks(labels.get(image, {}), 256, 1600)
            for probability, truth in zip(store[image], truths, strict=True):
                assert np.array_equal(
                    grids_of_map(probability, truth)[ComponentArea], plain_component_area(probability, truth)
                )


def test_what_was_tuned_can_be_seen(experiment) -> None:
    for defect in CLASSES:
        picture = cv2.imread(str(experiment.grid_picture(defect)))
        assert picture.shape[1] > 800
        table = pd.read_csv(experiment.grid_table(defect), index_col=0)
        values = tuned_values.read(experiment.postprocess)
        rule = values.rules[defect - 1]
        if not isinstance(rule, DualThreshold):
            chosen = getattr(rule, rule.horizontal().name), str(getattr(rule, rule.vertical().name))
            assert table.loc[chosen] == pytest.approx(values.scores["tuned"][str(defect)], abs=1e-5)


def test_a_second_run_finds_everything_up_to_date(experiment) -> None:
    before = stamps(experiment)
    done = run_bin("run_all", *as_pairs(experiment))
    changed = {file for file, stamp in stamps(experiment).items() if before.get(file) != stamp}
    assert not changed
    assert (
        done.stdout.count("   cached ") == 1 + 4 + 1 + 4 + 1 + 1
    )  # folds, networks, tuning, engines, submission, report


def test_the_report_tells_of_made_up_steel_and_of_every_stages_time(experiment) -> None:
    assert ">synthetic steel</strong>" in experiment.report_page.read_text()
    told = read_json(experiment.report_facts, "bash bin/report.sh")
    assert [row["stage"] for row in told["times"]] == ["folds", "train", "tune", "export", "predict"]
    assert told["test_score"]["mean"] == read_json(experiment.submission_report, "bash bin/predict.sh")["score"]["mean"]
    assert len(told["training"]) == len(told["engines"]) == 4


def test_deleting_one_folds_folder_redoes_that_fold_and_what_depends_on_it(experiment) -> None:
    before = stamps(experiment)
    gone = experiment.fold("tu-regnety_002", 1)
    shutil.rmtree(gone.folder)
    run_bin("run_all", *as_pairs(experiment))
    after = stamps(experiment)
    untouched = [file for file in before if f"{gone.folder}/" not in file and experiment.folds.name in file]
    redone = {file for file in untouched if before[file] != after[file]}
    tuned = [experiment.postprocess, experiment.strip_scores, experiment.times]
    tuned += [*map(experiment.grid_picture, CLASSES), *map(experiment.grid_table, CLASSES)]
    assert redone <= {str(file) for file in tuned}
    assert gone.weights.exists()
    assert gone.onnx.exists()


def test_a_missing_member_is_an_error_that_names_the_command(experiment) -> None:
    onnx = experiment.fold("tu-regnety_002", 0).onnx
    aside = onnx.with_suffix(".aside")
    onnx.rename(aside)
    try:
        done = run_bin("predict", *arguments_of(experiment), check=False)
    finally:
        aside.rename(onnx)
    assert done.returncode == 2
    assert "bash bin/export.sh tu-regnety_002 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_strips_of_ones_own_are_predicted_from_any_folder(experiment, tmp_path) -> None:
    own = tmp_path / "mill"
    shutil.copytree(experiment.test_images, own)
    arguments = [f"--folds={experiment.folds}", f"--submissions={tmp_path / 'out'}", f"--images={own}"]
    run_bin("predict", f"--input={tmp_path / 'nothing'}", *arguments, "--engine", "onnxruntime")
    rows = read_table(tmp_path / "out" / "submission.csv").rows
    assert len(rows) == 6 * 4
