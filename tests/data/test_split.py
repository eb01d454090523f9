"""The split: every strip is held out once, classes are spread evenly, groups stay together, the file is frozen."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import arguments_of

import make_folds
from severstal.data import split
from severstal.errors import InputError


def labels_of(classes: list[tuple[int, ...]]) -> dict[str, dict[int, str]]:
    return {f"{number:05d}.jpg": dict.fromkeys(shown, "1 1") for number, shown in enumerate(classes)}


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


def test_more_folds_than_unlike_strips_is_an_error() -> None:
    with pytest.raises(InputError, match="2 unlike strips cannot make 3 folds"):
        split.assign_folds(labels_of([()] * 6), np.array([0, 0, 0, 1, 1, 1]), 3, 0)


def test_the_split_is_frozen(tiny, monkeypatch) -> None:
    """A second run leaves it as it is; a new strip or another number of folds is an error, not a new split."""

    def run(*options: str) -> None:
        monkeypatch.setattr(sys, "argv", ["make_folds.py", *arguments_of(tiny), *options])
        make_folds.main()

    before = tiny.folds_csv.read_bytes()
    run()
    with pytest.raises(InputError, match="the recipe asks for 3"):
        run("--num-folds", "3")
    shutil.copy(tiny.train_images / f"{0:09x}.jpg", tiny.train_images / "new.jpg")
    with pytest.raises(InputError, match=r"lacks new\.jpg"):
        run()
    assert tiny.folds_csv.read_bytes() == before
