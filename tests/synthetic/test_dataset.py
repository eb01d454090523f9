"""The synthetic data set: the form of its files, its frequencies and masks; it never overwrites real data."""

from __future__ import annotations

import hashlib
import re
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
from severstal.synthetic.plan import TEST, TRAIN, class_combinations, plan

COUNTS = {"train": 24, "test": 16, "seed": 3}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Paths:
    """A synthetic data set in a folder that holds a README already."""
    paths = Paths(tmp_path_factory.mktemp("input"))
    (paths.input / "README.md").write_text("what belongs here")
    dataset.write(paths.input, **COUNTS, workers=2)
    return paths


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_masks(table: Path) -> dict[tuple[str, int], np.ndarray]:
    rows = pd.read_csv(table)
    assert list(rows) == ["ImageId", "ClassId", "EncodedPixels"]
    return {(name, defect): rle.decode(code, 256, 1600) for name, defect, code in rows.itertuples(index=False)}


def run_stage(monkeypatch, capsys, *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", ["make_input.py", *map(str, arguments)])
    make_input.main()
    return capsys.readouterr().out


def test_a_seed_gives_the_same_bytes_with_any_number_of_workers(tmp_path) -> None:
    folders = [tmp_path / name for name in ("one worker", "two workers", "another seed")]
    for folder, workers, seed in zip(folders, (1, 2, 1), (7, 7, 8), strict=True):
        dataset.write(folder, train=4, test=2, seed=seed, workers=workers)
    one, two, other = map(hashes, folders)
    assert one == two
    assert len(one) == 4 + 2 + 4
    assert not set(one.values()) & set(other.values())


def test_a_seed_gives_the_strips_that_it_always_gave(tmp_path) -> None:
    """Scores of the synthetic set can be compared between versions."""
    image, masks = strip.draw((1, 3), np.random.default_rng([0, 0, 0, 0]), np.random.default_rng([0, 0, 0, 1]))
    assert image.mean() == pytest.approx(101.579, abs=0.05)
    assert {defect: int(mask.sum()) for defect, mask in masks.items()} == {1: 3518, 3: 14999}


def test_files_have_the_form_of_the_competitions(drawn) -> None:
    train = sorted(path.name for path in drawn.train_images.iterdir())
    test = sorted(path.name for path in drawn.test_images.iterdir())
    assert (len(train), len(test)) == (COUNTS["train"], COUNTS["test"])
    assert all(re.fullmatch(r"[0-9a-f]{9}\.jpg", name) for name in train + test)
    assert not set(train) & set(test)
    sample = pd.read_csv(drawn.sample_submission)
    assert list(sample) == ["ImageId", "EncodedPixels", "ClassId"]
    assert sample.ImageId.tolist() == test
    assert (sample.EncodedPixels == "1 409600").all()
    assert (sample.ClassId == 0).all()
    for names, table in ((train, drawn.train_csv), (test, drawn.test_truth)):
        assert set(pd.read_csv(table).ImageId) < set(names), "clean strips have no row"
    assert drawn.is_synthetic
    assert {path.name for path in drawn.input.iterdir()} == {
        "train_images", "test_images", "train.csv", "test_truth.csv", "sample_submission.csv", "SYNTHETIC.json",
        "README.md",
    }  # fmt: skip


def test_images_are_grey_strips_of_plausible_light(drawn) -> None:
    means = []
    for path in drawn.train_images.iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image.shape == (256, 1600, 3)
        assert (image == image[..., :1]).all()
        means.append(image.mean())
    assert 60 < np.mean(means) < 115
    assert np.std(means) > 8


def test_masks_are_disjoint_large_enough_and_in_canonical_code(drawn) -> None:
    for table in (drawn.train_csv, drawn.test_truth):
        masks = read_masks(table)
        assert all(mask.sum() >= 30 for mask in masks.values())
        for name in {name for name, _ in masks}:
            assert sum(mask.astype(int) for (other, _), mask in masks.items() if other == name).max() == 1
        codes = pd.read_csv(table).EncodedPixels
        assert [rle.encode(mask) for mask in masks.values()] == codes.tolist()


def test_classes_are_as_frequent_as_in_the_competition_and_rare_ones_have_a_minimum() -> None:
    everything = class_combinations(12568, 8)
    assert [sum(defect in classes for classes in everything) for defect in (1, 2, 3, 4)] == [897, 247, 5150, 801]
    assert [sum(len(classes) == count for classes in everything) for count in range(4)] == [5902, 6239, 425, 2]
    for count, minimum in ((320, 8), (96, 2), (32, 4), (16, 2)):
        classes_of_strips = class_combinations(count, minimum)
        assert len(classes_of_strips) == count
        assert min(sum(defect in classes for classes in classes_of_strips) for defect in (1, 2, 3, 4)) >= minimum
    assert sum(not classes for classes in class_combinations(320, 8)) == pytest.approx(0.47 * 320, abs=4)


def test_every_planned_class_has_its_mask(drawn) -> None:
    for part, table in ((TRAIN, drawn.train_csv), (TEST, drawn.test_truth)):
        strips = [strip for strip in plan(*COUNTS.values()) if strip.part == part]
        planned = {(strip.name, defect) for strip in strips for defect in strip.classes}
        assert set(read_masks(table)) == planned


def test_near_duplicates_look_alike_and_have_masks_of_their_own(drawn) -> None:
    train = [strip for strip in plan(*COUNTS.values()) if strip.part == TRAIN]
    duplicates = [strip for strip in train if strip.source != strip.number]
    assert duplicates
    masks = read_masks(drawn.train_csv)
    for duplicate in duplicates:
        names = (duplicate.name, train[duplicate.source].name)
        a, b = (cv2.imread(str(drawn.train_images / name), 0).astype(float) for name in names)
        assert 0 < np.abs(a - b).mean() < 10
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95
        first, second = (masks[name, duplicate.classes[0]] for name in names)
        assert 0.5 < 2 * (first & second).sum() / (first.sum() + second.sum()) < 1


def test_another_labeller_changes_the_mask_and_not_the_picture() -> None:
    images, masks = zip(
        *(strip.draw((1, 4), np.random.default_rng(5), np.random.default_rng(labeller)) for labeller in (1, 2)),
        strict=True,
    )
    assert (images[0] == images[1]).all()
    assert all((masks[0][defect] != masks[1][defect]).any() for defect in (1, 4))


@pytest.mark.parametrize("defect", [1, 3, 4])
def test_defects_are_visible_inside_their_masks_only(defect) -> None:
    changed_shares = []
    for seed in range(5):
        labeller = np.random.default_rng(0)
        with_defect, masks = strip.draw((defect,), np.random.default_rng(seed), labeller)
        without, _ = strip.draw((), np.random.default_rng(seed), labeller)
        change = np.abs(with_defect.astype(float) - without)
        changed_shares.append((change[masks[defect]] > 15).mean())
        assert (change[~masks[defect]] > 15).mean() < 0.01
    assert np.median(changed_shares) > 0.05


@pytest.mark.parametrize("name", ["train.csv", "train_images/0002cc93b.jpg", "kaggle.zip"])
def test_real_data_is_never_overwritten(tmp_path, monkeypatch, capsys, name) -> None:
    real = tmp_path / name
    real.parent.mkdir(exist_ok=True)
    real.write_text("real")
    with pytest.raises(InputError, match=Path(name).parts[0]):
        dataset.write(tmp_path, train=8, test=4, seed=0)
    assert "left as it is" in run_stage(monkeypatch, capsys, "--input", tmp_path, "--train", 8)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [real]
    assert real.read_text() == "real"


def test_a_run_that_was_stopped_is_completed_by_the_next(tmp_path) -> None:
    dataset.write(tmp_path, train=4, test=2, seed=0, workers=1)
    before = hashes(tmp_path)
    paths = Paths(tmp_path)
    building = Paths(paths.synthetic_build)
    building.input.mkdir()
    for part in ("test_truth", "sample_submission", "synthetic_marker"):  # it was stopped after the third rename
        getattr(paths, part).rename(getattr(building, part))
    assert not paths.is_synthetic
    dataset.finish_interrupted(tmp_path)
    assert hashes(tmp_path) == before
    building.train_images.mkdir(parents=True)  # it was stopped while drawing: nothing is complete
    dataset.finish_interrupted(tmp_path)
    assert hashes(tmp_path) == before


def test_the_stage_writes_a_set_keeps_it_and_refuses_to_replace_it(tmp_path, monkeypatch, capsys) -> None:
    folders = ["--input", tmp_path / "input", "--folds", tmp_path / "folds"]
    counts = [*folders, "--train", 4, "--test", 2]
    assert "4 train and 2 test strips" in run_stage(monkeypatch, capsys, *counts, "--num-workers", 1)
    before = hashes(tmp_path)
    assert "   cached " in run_stage(monkeypatch, capsys, *counts)
    assert "train 4, now 720" in run_stage(monkeypatch, capsys, *folders)
    with pytest.raises(InputError, match=r"seed 0, now 1.*delete the folder's content"):
        run_stage(monkeypatch, capsys, *counts, "--seed", 1)
    assert hashes(tmp_path) == before


@pytest.mark.parametrize("wrong", [{"train": 0}, {"test": 0}, {"workers": 0}, {"seed": -1}])
def test_impossible_values_are_refused(tmp_path, wrong) -> None:
    with pytest.raises(InputError, match="|".join(wrong)):
        dataset.write(tmp_path, **({"train": 8, "test": 4, "seed": 0} | wrong))
    assert not list(tmp_path.iterdir())
