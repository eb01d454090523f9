"""The time budget: which members of an ensemble are kept, and what the user reads about it."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from severstal.errors import InputError
from severstal.inference import time_budget
from severstal.inference.time_budget import MemberTime, TimeBudget, fit_to_budget

TIMES = [MemberTime("a fold 0", "a", 1.0), MemberTime("a fold 1", "a", 1.0), MemberTime("b fold 0", "b", 2.0)]


@pytest.fixture(autouse=True)
def at_second_1000(monkeypatch) -> None:
    monkeypatch.setattr(time_budget, "time", SimpleNamespace(monotonic=lambda: 1000.0))


def test_one_fold_of_each_encoder_comes_before_further_folds() -> None:
    encoders = ["a", "a", "a", "b", "b", "b"]
    seconds = [10.0, 10.0, 10.0, 20.0, 20.0, 20.0]
    assert fit_to_budget(seconds, encoders, 90) == [0, 1, 2, 3, 4, 5]
    assert fit_to_budget(seconds, encoders, 75) == [0, 1, 2, 3, 4]
    assert fit_to_budget(seconds, encoders, 30) == [0, 3]
    assert fit_to_budget(seconds, encoders, 25) == [0, 1]
    assert fit_to_budget(seconds, encoders, 9) == []


def test_every_member_stays_where_the_time_suffices_with_a_margin(caplog) -> None:
    caplog.set_level(logging.INFO)
    assert TimeBudget(1042.1).select(TIMES, 10) == [0, 1, 2]
    assert "it finishes in time" in caplog.text
    assert TimeBudget(1041.9).select(TIMES, 10) == [0, 2]


def test_members_that_are_left_out_are_named(caplog) -> None:
    caplog.set_level(logging.INFO)
    assert TimeBudget.from_now(32).select(TIMES, 10) == [0, 2]
    assert caplog.messages == ["the whole ensemble needs 42 s and 32 s are left: prediction goes on without a fold 1"]


def test_an_error_names_the_quickest_member_where_none_finishes() -> None:
    with pytest.raises(InputError, match=r"the quickest, a fold 0, takes 10 s: give a longer --time-limit"):
        TimeBudget(1002).select(TIMES, 10)
    with pytest.raises(InputError, match=r"finishes in the 0\.0 s that are left"):
        TimeBudget(990).select(TIMES, 10)
