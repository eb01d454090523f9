"""The split: every strip is held out once, classes are spread evenly, groups stay together, the file is frozen."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import arguments_of, run_refused

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
    with pytest.raises(InputError, match="6 strips, 2 unlike each other, cannot make 3 folds: choose fewer"):
        split.assign_folds(labels_of([()] * 6), np.array([0, 0, 0, 1, 1, 1]), 3, 0)


@pytest.mark.parametrize(
    "classes",
    [[(1,), (2,), (3,), (4,), (), ()], [(1,), (2,), (3,)], [(3,)] * 5, [()] * 4 + [(1,)]],
    ids=["every combination is rare", "as many strips as folds", "one class", "one defect"],
)
@pytest.mark.parametrize("count", [2, 3])
def test_a_handful_of_strips_is_split_with_no_fold_empty(classes, count) -> None:
    frame = split.assign_folds(labels_of(classes), np.arange(len(classes)), count, 0)
    assert set(frame["fold"]) == set(range(count))


def test_where_combinations_are_rare_strips_with_and_without_defects_are_spread() -> None:
    classes = [(1,), (2,), (3,), (4,), (1, 2), (3, 4), (), (), ()]
    frame = split.assign_folds(labels_of(classes), np.arange(9), 4, 0)
    assert frame["fold"][:6].value_counts().max() <= 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.integers(2, 4), st.data())
def test_no_data_set_however_small_ends_in_a_traceback(groups, count, data) -> None:
    shown = st.lists(st.sampled_from([(), (1,), (2,), (1, 2)]), min_size=len(groups), max_size=len(groups))
    try:
        frame = split.assign_folds(labels_of(data.draw(shown)), np.array(groups), count, 0)
    except InputError:
        return
    assert set(frame["fold"]) == set(range(count))


def test_one_strip_is_too_little() -> None:
    with pytest.raises(InputError, match="1 strips, 1 unlike each other, cannot make 2 folds: add strips"):
        split.assign_folds(labels_of([(1,)]), np.array([0]), 2, 0)


def test_what_a_split_cannot_show_is_said() -> None:
    frame = pd.DataFrame({"fold": [0, 0, 1, 1], "classes": ["1", "1 3", "1", "1"]})
    lines = split.describe_gaps(frame)
    assert [line.split(":")[0] for line in lines] == [
        "no strip shows class 2",
        "no strip of class 3 is in fold 1",
        "no strip shows class 4",
        "no strip is without a defect",
    ]


def test_labels_without_any_defect_are_refused(tiny) -> None:
    tiny.folds_csv.unlink()
    tiny.train_csv.write_text("ImageId,ClassId,EncodedPixels\n")
    assert "holds no defect of any strip" in run_refused("make_folds", tiny)


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
