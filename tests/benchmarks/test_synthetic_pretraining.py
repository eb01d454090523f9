"""The comparison of experiments on labelled strips: its table and its picture."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks.synthetic_pretraining import Scored, main, tabulate
from severstal.data import rle, strips
from severstal.inference.predictor import Predictor
from severstal.paths import Paths


def test_an_experiment_is_scored_on_strips_that_it_does_not_know(exported, tmp_path, monkeypatch) -> None:
    paths = Paths.under(tmp_path)
    paths.train_images.mkdir(parents=True)
    for strip in exported.test_images.iterdir():  # under names that the experiment does not have
        shutil.copy(strip, paths.train_images / f"new{strip.name}")
    images = strips.listing(paths.train_images)
    predictor = Predictor(exported.folds, "onnxruntime")
    found = [predictor.predict(paths.train_images / image).masks for image in images]
    rows = [
        (image, defect, rle.encode(mask))
        for image, masks in zip(images, found, strict=True)
        for defect, mask in enumerate(masks, start=1)
        if mask.any()
    ]
    assert rows, "strips without a defect would prove nothing"
    pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"]).to_csv(paths.train_csv, index=False)
    arguments = ["--input", paths.input, "--experiments", exported.folds, "--output", tmp_path / "out"]
    monkeypatch.setattr("sys.argv", ["synthetic_pretraining.py", *map(str, arguments)])
    main()
    table = pd.read_csv(tmp_path / "out" / "dice.csv", index_col=0)
    assert table.loc["folds", "Dice"] == pytest.approx(1, abs=0.02), "the labels are what it finds"
    assert table.loc["empty file", "Dice"] == pytest.approx(1 - len(rows) / (4 * len(images)))
    picture = cv2.imread(str(tmp_path / "out" / "strips.jpg"))
    assert picture.shape == ((64 + 4) * 2 * len(images), 96, 3)


def test_alarms_are_counted_on_clean_strips() -> None:
    dice = np.ones((3, 4))
    dice[1, 2], dice[2, 0] = 0, 0.5
    table = tabulate([Scored("a", dice, ())], ["x", "y", "z"], {"x": {}, "y": {}, "z": {1: "1 5"}})
    assert table.loc["a", "false positives on clean strips"] == 0.5
    assert table.loc["empty file", "false positives on clean strips"] == 0
    assert table.loc["empty file", "class 1"] == pytest.approx(2 / 3)
    assert table.loc["a", "Dice"] == pytest.approx(dice.mean())
