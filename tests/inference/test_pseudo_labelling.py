"""The pseudo-labelling stage: each fold's labels come from its own networks and values, with reasons and a Dice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.pseudo_labelled_run import BOX, label

from severstal.data import pseudo_labels, rle
from severstal.data.labels import read_labels
from severstal.inference.assessment import Outcome
from severstal.inference.pseudo_labelling_run import NEAR_DUPLICATE
from severstal.paths import PseudoPaths
from severstal.postprocess import tuned_values
from severstal.postprocess.rules import MaskArea


def test_each_folds_table_holds_what_its_own_networks_accept(pseudo_labelled) -> None:
    tables = [read_labels(pseudo_labelled.pseudo.labels(fold), 64, 96) for fold in (0, 1)]
    assert set(tables[0]) == {"clean.jpg", "uncertain.jpg", "clear.jpg"}
    assert set(tables[1]) == {"clean.jpg", "clear.jpg"}
    assert tables[0]["clean.jpg"] == {}
    for fold in (0, 1):
        assert tables[fold]["clear.jpg"] == {2: rle.encode(np.roll(BOX, 3 * fold, axis=1))}
    record = pseudo_labels.read_record(pseudo_labelled.pseudo, "")
    for fold, of_fold in enumerate(record.folds):
        assert len(of_fold.members) == 2
        assert all(name.endswith(f"fold {fold}") for name in of_fold.members)


def test_the_reason_why_a_strip_was_rejected_is_written(pseudo_labelled) -> None:
    table = pd.read_csv(pseudo_labelled.pseudo.assessments).set_index(["ImageId", "fold"])
    assert table.loc["uncertain.jpg", 1]["class_4"] == Outcome.CLASSIFIER_UNCERTAIN
    assert table.loc["uncertain.jpg", 0]["class_4"] == Outcome.PRESENT
    training_strips = [f"{number:09x}.jpg" for number in range(5)]  # they lie among the test strips again
    assert (table.loc[training_strips] == NEAR_DUPLICATE).all(axis=None)
    counts = pseudo_labels.read_record(pseudo_labelled.pseudo, "").counts
    assert counts[Outcome.PRESENT] == [0, 2, 0, 1]
    assert counts[Outcome.CLASSIFIER_UNCERTAIN] == [0, 0, 0, 1]
    assert counts[NEAR_DUPLICATE] == [10] * 4
    assert {sum(column) for column in zip(*counts.values(), strict=True)} == {8 * 2}


def test_a_fold_uses_the_values_chosen_without_its_strips(pseudo_labelled, tmp_path, monkeypatch) -> None:
    """Where the values of one fold give empty masks, the labels of the other one stay as they are."""
    tuned = tuned_values.read(pseudo_labelled)
    never = MaskArea(threshold=255, min_area=64 * 96 + 1)
    blind = tuned.nested[0].model_copy(update={"rules": (never,) * 4})
    changed = tuned.model_copy(update={"nested": (blind, tuned.nested[1])})
    monkeypatch.setattr(tuned_values, "read", lambda path: changed)
    label(pseudo_labelled, "--output", tmp_path)
    assert set(read_labels(PseudoPaths(tmp_path).labels(0), 64, 96)) == {"clean.jpg"}
    assert PseudoPaths(tmp_path).labels(1).read_bytes() == pseudo_labelled.pseudo.labels(1).read_bytes()


def test_the_dice_of_the_labels_is_measured_on_strips_that_the_networks_did_not_train_on(pseudo_labelled) -> None:
    quality = pseudo_labels.read_record(pseudo_labelled.pseudo, "").quality
    assert quality.strips == 12
    assert 0 < quality.taken <= 12
    nested = tuned_values.read(pseudo_labelled).scores["nested"]
    assert quality.dice == pytest.approx([nested[str(defect)] for defect in (1, 2, 3, 4)], abs=1e-9)


def test_labels_are_kept_until_a_limit_changes(pseudo_labelled, tmp_path) -> None:
    done = label(pseudo_labelled, "--output", tmp_path)
    assert "fold 0: 3 of 8 strips accepted" in done.stdout
    assert "cached" not in done.stdout
    assert "cached" in label(pseudo_labelled, "--output", tmp_path).stdout
    assert "cached" not in label(pseudo_labelled, "--output", tmp_path, "--min-agreement", "0.9").stdout


def test_labelled_strips_and_impossible_limits_are_refused(pseudo_labelled) -> None:
    done = label(pseudo_labelled, "--images", pseudo_labelled.train_images, check=False)
    assert (done.returncode, "holds the labelled strips" in done.stderr) == (2, True)
    for option, value in (
        ("--min-present", "0.3"),
        ("--max-absent", "nan"),
        ("--threshold-margin", "-1"),
        ("--min-agreement", "1.5"),
    ):
        done = label(pseudo_labelled, option, value, check=False)
        assert (done.returncode, f"{option} {value}" in done.stderr) == (2, True)


def test_values_without_the_choices_of_the_folds_are_refused(pseudo_labelled, tmp_path, monkeypatch) -> None:
    tuned = tuned_values.read(pseudo_labelled).model_copy(update={"nested": ()})
    monkeypatch.setattr(tuned_values, "read", lambda path: tuned)
    done = label(pseudo_labelled, "--output", tmp_path, check=False)
    assert (done.returncode, "bash bin/tune.sh" in done.stderr) == (2, True)
