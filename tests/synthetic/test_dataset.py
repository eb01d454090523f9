"""Synthetic steel: the form of its files, its frequencies and masks, and that it never harms real data."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import make_input
from severstal.data import rle
from severstal.errors import InputError
from severstal.paths import Paths
from severstal.synthetic import dataset, strip
from severstal.synthetic.plan import plan
from severstal.synthetic.plan import shares as shares_of

STAGE = Path(__file__).parents[2] / "src" / "make_input.py"
TRAIN, TEST, SEED = 24, 16, 3
PART_NAMES = ("train_images", "test_images")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("input")
    (folder / "README.md").write_text("what belongs here")
    dataset.write(folder, train=TRAIN, test=TEST, seed=SEED, workers=2)
    return folder


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _masks(folder: Path, name: str) -> dict[tuple[str, int], np.ndarray]:
    table = pd.read_csv(folder / name)
    assert list(table) == ["ImageId", "ClassId", "EncodedPixels"]
    rows = table.itertuples(index=False)
    return {(name, class_id): rle.decode(code, 256, 1600) for name, class_id, code in rows}


def _stage(monkeypatch, capsys, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", [str(STAGE), *arguments])
    make_input.main()
    return capsys.readouterr().out


def test_same_seed_same_bytes_whatever_the_workers(tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "other_seed")]
    for folder, workers, seed in zip(folders, (1, 2, 1), (7, 7, 8), strict=True):
        dataset.write(folder, train=8, test=4, seed=seed, workers=workers)
    one, two, other = map(_hashes, folders)
    assert one == two
    assert len(one) == 8 + 4 + 4
    assert not set(one.values()) & set(other.values())


def test_the_form_is_the_competitions(made):
    names = {part: sorted(path.name for path in (made / part).iterdir()) for part in PART_NAMES}
    assert (len(names["train_images"]), len(names["test_images"])) == (TRAIN, TEST)
    assert all(re.fullmatch(r"[0-9a-f]{9}\.jpg", name) for part in names.values() for name in part)
    assert not set(names["train_images"]) & set(names["test_images"])
    sample = pd.read_csv(made / "sample_submission.csv")
    assert list(sample) == ["ImageId", "EncodedPixels", "ClassId"]
    assert sample.ImageId.tolist() == names["test_images"]
    assert (sample.EncodedPixels == "1 409600").all()
    assert (sample.ClassId == 0).all()
    for part, table in (("train_images", "train.csv"), ("test_images", "test_truth.csv")):
        assert set(pd.read_csv(made / table).ImageId) < set(names[part])  # clean strips are not listed
    assert Paths(made).is_synthetic
    assert sorted(path.name for path in made.iterdir()) == sorted([*dataset.PARTS, "README.md"])


def test_images_are_grey_strips_of_plausible_light(made):
    means = []
    for path in (made / "train_images").iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image.shape == (256, 1600, 3)
        assert (image[..., 0] == image[..., 1]).all()
        assert (image[..., 1] == image[..., 2]).all()
        means.append(image.mean())
    assert 60 < np.mean(means) < 115
    assert np.std(means) > 8


@pytest.mark.parametrize("table", ["train.csv", "test_truth.csv"])
def test_masks_are_disjoint_and_on_the_steel(made, table):
    masks = _masks(made, table)
    assert all(mask.sum() >= 30 for mask in masks.values())
    for name in {name for name, _ in masks}:
        assert sum(mask.astype(int) for (other, _), mask in masks.items() if other == name).max() == 1


def test_codes_are_canonical(made):
    for code in pd.read_csv(made / "train.csv").EncodedPixels:
        assert rle.encode(rle.decode(code, 256, 1600)) == code


def test_frequencies_are_the_competitions_with_a_minimum_for_the_rare():
    shares = shares_of(12568, 8)
    assert [sum(k in classes for classes in shares) for k in (1, 2, 3, 4)] == [897, 247, 5150, 801]
    assert [sum(len(classes) == n for classes in shares) for n in range(4)] == [5902, 6239, 425, 2]
    for count, at_least in ((320, 8), (96, 2), (32, 4), (16, 2)):
        shares = shares_of(count, at_least)
        assert len(shares) == count
        assert min(sum(class_id in classes for classes in shares) for class_id in (1, 2, 3, 4)) >= at_least
    assert sum(not classes for classes in shares_of(320, 8)) == pytest.approx(0.47 * 320, abs=4)


def test_every_planned_class_has_its_mask(made):
    for part, table in ((0, "train.csv"), (1, "test_truth.csv")):
        strips = [strip for strip in plan(TRAIN, TEST, SEED) if strip.part == part]
        planned = {(strip.name, class_id) for strip in strips for class_id in strip.classes}
        assert set(_masks(made, table)) == planned


def test_near_copies_look_alike_and_are_labelled_anew(made):
    train = [strip for strip in plan(TRAIN, TEST, SEED) if strip.part == 0]
    copies = [strip for strip in train if strip.source != strip.number]
    assert copies
    masks = _masks(made, "train.csv")
    for copy in copies:
        pair = (copy.name, train[copy.source].name)
        a, b = (cv2.imread(str(made / "train_images" / name), 0).astype(float) for name in pair)
        assert 0 < np.abs(a - b).mean() < 10
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95
        first, second = (masks[name, copy.classes[0]] for name in pair)
        assert 0.5 < 2 * (first & second).sum() / (first.sum() + second.sum()) < 1


def test_the_hand_changes_the_mask_and_not_the_picture():
    image_a, masks_a = strip.draw((1, 4), np.random.default_rng(5), np.random.default_rng(1))
    image_b, masks_b = strip.draw((1, 4), np.random.default_rng(5), np.random.default_rng(2))
    assert (image_a == image_b).all()
    assert all((masks_a[class_id] != masks_b[class_id]).any() for class_id in (1, 4))


@pytest.mark.parametrize("class_id", [1, 3, 4])
def test_defects_show(class_id):
    """Inside the mask the picture differs from the same strip without the defect, on most strips plainly."""
    differences = []
    for seed in range(8):
        hand = np.random.default_rng(0)
        with_defect, masks = strip.draw((class_id,), np.random.default_rng(seed), hand)
        without, _ = strip.draw((), np.random.default_rng(seed), hand)
        change = np.abs(with_defect.astype(float) - without)
        differences.append((change[masks[class_id]] > 15).mean())
        assert (change[~masks[class_id]] > 15).mean() < 0.01
    assert np.median(differences) > 0.05


@pytest.mark.parametrize("name", ["train.csv", "train_images/0002cc93b.jpg", "kaggle.zip"])
def test_real_data_is_never_overwritten(tmp_path, monkeypatch, capsys, name):
    held = tmp_path / name
    held.parent.mkdir(exist_ok=True)
    held.write_text("real")
    with pytest.raises(InputError, match=Path(name).parts[0]):
        dataset.write(tmp_path, train=8, test=4, seed=0)
    assert "left untouched" in _stage(monkeypatch, capsys, "--input", str(tmp_path), "--train", "8")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [held]
    assert held.read_text() == "real"


def test_an_interrupted_run_is_taken_up(tmp_path):
    dataset.write(tmp_path, train=8, test=4, seed=0, workers=1)
    before = _hashes(tmp_path)
    building = tmp_path / dataset.BUILDING
    building.mkdir()
    for part in ("test_truth.csv", "sample_submission.csv", dataset.MARKER):  # stopped after the third rename
        (tmp_path / part).rename(building / part)
    assert not Paths(tmp_path).is_synthetic
    dataset.finish_interrupted(tmp_path)
    assert _hashes(tmp_path) == before
    (building / "train_images").mkdir(parents=True)  # stopped while drawing: nothing to take up
    dataset.finish_interrupted(tmp_path)
    assert _hashes(tmp_path) == before


def test_stage_writes_keeps_and_refuses(tmp_path, monkeypatch, capsys):
    numbers = ["--input", str(tmp_path), "--train", "8", "--test", "4"]
    assert "wrote synthetic steel" in _stage(monkeypatch, capsys, *numbers, "--num-workers", "1")
    assert json.loads((tmp_path / dataset.MARKER).read_text())["train"] == 8
    before = _hashes(tmp_path)
    assert "up to date" in _stage(monkeypatch, capsys, *numbers)
    assert "other values" in _stage(monkeypatch, capsys, "--input", str(tmp_path))
    other = [sys.executable, str(STAGE), *numbers, "--seed", "1"]
    result = subprocess.run(other, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "delete the folder's content" in result.stderr
    assert _hashes(tmp_path) == before


@pytest.mark.parametrize("wrong", [{"train": 0}, {"test": 0}, {"workers": 0}, {"seed": -1}])
def test_impossible_values_are_refused(tmp_path, wrong):
    with pytest.raises(InputError, match="|".join(wrong)):
        dataset.write(tmp_path, **({"train": 8, "test": 4, "seed": 0} | wrong))
    assert not list(tmp_path.iterdir())
