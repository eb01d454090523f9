"""The split: every strip once, classes spread, near-duplicates together, frozen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import arguments_of, run_bin

from severstal.data import near_duplicates, split
from severstal.errors import InputError


def labels_of(classes: list[tuple[int, ...]]) -> dict[str, dict[int, str]]:
    return {f"{number:05d}.jpg": dict.fromkeys(of_strip, "1 1") for number, of_strip in enumerate(classes)}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([(), (1,), (3,), (3, 4)]), min_size=20, max_size=60),
    st.integers(2, 5),
    st.integers(0, 9),
)
def test_every_strip_is_held_out_once_and_groups_stay_whole(classes, count, seed) -> None:
    groups = np.arange(len(classes)) // 2  # pairs
    frame = split.assign_folds(labels_of(classes), groups, count, seed)
    assert frame["ImageId"].tolist() == sorted(labels_of(classes))
    assert set(frame["fold"]) <= set(range(count))
    assert frame.groupby("group")["fold"].nunique().max() == 1
    assert frame.equals(split.assign_folds(labels_of(classes), groups, count, seed))


def test_classes_are_spread_evenly() -> None:
    classes = [()] * 100 + [(3,)] * 80 + [(1,)] * 20 + [(2,)] * 10
    frame = split.assign_folds(labels_of(classes), np.arange(len(classes)), 5, 0)
    table = frame.groupby(["classes", "fold"]).size().unstack()
    assert (table.max(axis=1) - table.min(axis=1)).max() <= 1


def test_a_copy_in_other_light_is_a_near_duplicate_and_a_stranger_is_not(real_data) -> None:
    folder = real_data / "severstal-sample" / "train_images"
    # Some of these files are PNGs whatever their names say, which a stage would refuse.
    pictures = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in sorted(folder.iterdir())]
    copies = []
    for picture in pictures:
        light = np.linspace(0.8, 1.1, picture.shape[1])[None]
        noise = np.random.default_rng(0).normal(0, 3, picture.shape)
        copy = np.clip(np.roll(picture, 2, axis=1) * light + noise, 0, 255).astype(np.uint8)
        copies.append(cv2.imdecode(cv2.imencode(".jpg", copy)[1], cv2.IMREAD_GRAYSCALE))
    groups = near_duplicates.groups_of(np.stack([near_duplicates.thumbnail(one) for one in pictures + copies]))
    assert groups[: len(pictures)].tolist() == groups[len(pictures) :].tolist()
    assert len(set(groups)) == len(pictures)


def test_more_folds_than_unlike_strips_is_an_error() -> None:
    with pytest.raises(InputError, match="2 unlike strips cannot make 3 folds"):
        split.assign_folds(labels_of([()] * 6), np.array([0, 0, 0, 1, 1, 1]), 3, 0)


def test_the_split_is_frozen(tiny) -> None:
    """A second run leaves it as it is; a new strip or another number of folds is an error, not a new split."""
    before = tiny.folds_csv.read_bytes()
    run_bin("make_folds", *arguments_of(tiny))
    assert tiny.folds_csv.read_bytes() == before
    other = run_bin("make_folds", *arguments_of(tiny), "--num-folds", 3, check=False)
    assert other.returncode == 2
    assert "the recipe asks for 3" in other.stderr
    (tiny.train_images / "new.jpg").write_bytes((tiny.train_images / f"{0:09x}.jpg").read_bytes())
    grown = run_bin("make_folds", *arguments_of(tiny), check=False)
    assert grown.returncode == 2
    assert "lacks new.jpg" in grown.stderr
    assert tiny.folds_csv.read_bytes() == before
