"""Pseudo-labels as a fold reads them: its own table alone, and nothing that would leak or was changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from support.pseudo_labelled_run import BOX, write_student

from severstal.artifacts import write_json
from severstal.data import pseudo_labels, rle, strips
from severstal.data.memory_map import TrainingStrips
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.errors import InputError
from severstal.paths import Paths


@pytest.fixture
def student(tmp_path, pseudo_labelled) -> Paths:
    return write_student(tmp_path, pseudo_labelled)


def with_labels(paths: Paths, fold: int = 0) -> TrainingSet:
    return read_training_set(paths).with_pseudo_labels(str(paths.pseudo.folder), fold)


def test_a_fold_gets_its_own_table_and_validates_on_none_of_it(student) -> None:
    without = read_training_set(student)
    for fold, count in ((0, 3), (1, 2)):
        data = with_labels(student, fold)
        assert len(data.pseudo.labels) == count
        assert data.pseudo.labels["pseudo/clear.jpg"] == {2: rle.encode(np.roll(BOX, 3 * fold, axis=1))}
        for held_out in (True, False):
            assert data.images(fold, held_out=held_out) == without.images(fold, held_out=held_out)
        assert data.labels == without.labels
    assert with_labels(student, 0).pseudo.images == with_labels(student, 1).pseudo.images, "folds share one cache"


def test_another_split_is_refused_because_labels_would_leak(student) -> None:
    split = pd.read_csv(student.folds_csv, dtype=str, keep_default_na=False)
    swapped = [split.index[split["fold"] == fold][0] for fold in ("0", "1")]
    split.loc[swapped, "fold"] = ["1", "0"]
    split.to_csv(student.folds_csv, index=False)
    for fold in (0, 1):
        with pytest.raises(InputError, match="would leak"):
            with_labels(student, fold)


def test_a_missing_or_changed_file_is_named(student, pseudo_labelled) -> None:
    table, record = student.pseudo.labels(1), student.pseudo.record
    text = table.read_text()
    table.write_text(text + "other.jpg,1,\n")
    with pytest.raises(InputError, match=r"fold_1\.csv was changed"):
        with_labels(student)
    table.unlink()
    with pytest.raises(InputError, match=r"fold_1\.csv is missing"):
        with_labels(student)
    table.write_text(text)
    known = json.loads(record.read_text())
    elsewhere = student.folds / "strips"
    shutil.copytree(pseudo_labelled.test_images, elsewhere)
    write_json(record, known | {"images": str(elsewhere)})
    assert with_labels(student).fingerprint
    cv2.imwrite(str(elsewhere / "clear.jpg"), np.zeros((64, 96), dtype=np.uint8))
    with pytest.raises(InputError, match="holds other strips"):
        with_labels(student)
    (elsewhere / "clear.jpg").unlink()
    with pytest.raises(InputError, match=r"clear\.jpg is missing"):
        with_labels(student)
    write_json(record, known | {"folds": 3})
    with pytest.raises(InputError, match=r"pseudo\.json: folds"):
        with_labels(student)
    record.unlink()
    with pytest.raises(InputError, match=r"bash bin/pseudo\.sh"):
        with_labels(student)


def test_a_pseudo_labelled_strip_is_not_taken_for_a_training_strip_of_its_name(student) -> None:
    data, name = with_labels(student), "000000001.jpg"
    other = student.input / "other"
    other.mkdir()
    cv2.imwrite(str(other / name), np.full((64, 96), 200, dtype=np.uint8))
    labels = {pseudo_labels.PREFIX + name: {4: rle.encode(BOX)}}
    for _ in ("decoded", "read from the cache"):
        source = TrainingStrips(replace(data, pseudo=pseudo_labels.PseudoLabels(other, [name], labels, "t", "f")))
        assert np.array_equal(source.grey(pseudo_labels.PREFIX + name), strips.read(other / name))
        assert np.array_equal(source.grey(name), strips.read(student.train_images / name))
        assert source.masks(pseudo_labels.PREFIX + name).area(4) == BOX.sum()
        assert source.masks(name).runs.keys() == data.labels[name].keys()
    TrainingStrips(read_training_set(student))
    assert len(list((student.folds / "cache").rglob("*.grey"))) == 2, "a fold without labels leaves the cache alone"
