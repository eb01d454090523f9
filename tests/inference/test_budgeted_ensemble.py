"""Members are left out by their speed after a warm-up, and come back where they were left out too early."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from severstal.engines.base import BuildTimeout
from severstal.inference import ensemble, time_budget
from severstal.inference.budgeted_ensemble import BudgetedEnsemble
from severstal.inference.ensemble import Ensemble, LoadedMember, load_ensemble
from severstal.inference.predictor import Predictor
from severstal.inference.time_budget import TimeBudget

BATCH = np.zeros((4, 8, 8), dtype=np.uint8)
SECONDS = 0.01  # that a warm engine takes for a strip


class Clock:
    """A clock that moves only while an engine predicts."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    for module in (ensemble, time_budget):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def engine_of(clock: Clock, seconds: Callable[[int], float]):
    """An engine whose n-th call takes ``seconds(n)`` for a strip."""
    calls = 0

    def call(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal calls
        clock.now += seconds(calls) * len(strips)
        calls += 1
        maps = np.repeat(strips[:, None], 4, axis=1)
        return maps, maps.max(axis=(2, 3))

    return call


def run(members: list[LoadedMember], limit: float, num_strips: int, *, skip_late: bool = False) -> Ensemble:
    """Predict ``num_strips`` strips in calls of four."""
    loaded = Ensemble(members)
    budgeted = BudgetedEnsemble(loaded, TimeBudget.from_now(limit), num_strips, skip_late=skip_late)
    for _ in range(num_strips // len(BATCH)):
        budgeted(BATCH)
    return loaded


def members_of(*engines) -> list[LoadedMember]:
    return [LoadedMember(engine, 1, f"a fold {fold}", "a") for fold, engine in enumerate(engines)]


def test_no_member_is_left_out_for_first_calls_that_are_a_hundred_times_slower(clock, caplog) -> None:
    caplog.set_level(logging.INFO)
    engines = [engine_of(clock, lambda call: SECONDS * (100 if call < 3 else 1)) for _ in range(2)]
    used = run(members_of(*engines), 400.0, 1000)  # the warm-up takes 24 s and the rest 20 s
    assert [member.num_strips for member in used.members] == [1000, 1000]
    assert "it finishes in time" in caplog.text


def test_no_member_is_left_out_for_the_first_calls_of_an_average_made_on_the_gpu(clock, caplog) -> None:
    caplog.set_level(logging.INFO)

    class AveragesOnDevice:
        @staticmethod
        def average(engines: list, weights: list[int]):
            return engine_of(clock, lambda call: len(engines) * SECONDS * (100 if call < 3 else 1))

    loaded = Ensemble(members_of(*(engine_of(clock, lambda call: SECONDS) for _ in range(2))), AveragesOnDevice)
    budgeted = BudgetedEnsemble(loaded, TimeBudget.from_now(60.0), 1000)  # three slow calls of 8 s, the rest takes 20 s
    for _ in range(250):
        budgeted(BATCH)
    assert [member.num_strips for member in loaded.members] == [1000, 1000]
    assert "no time left" not in caplog.text


def test_the_demo_times_networks_after_the_calls_that_load_kernels_and_record_graphs(clock) -> None:
    predictor = object.__new__(Predictor)
    predictor.height, predictor.width = 8, 8
    predictor._ensemble = Ensemble(
        members_of(*(engine_of(clock, lambda call: SECONDS * (100 if call < 3 else 1)) for _ in range(2)))
    )
    assert [member.seconds for member in predictor.measure()] == pytest.approx([SECONDS] * 2)


def test_a_limit_that_the_first_calls_alone_seem_to_exceed_is_kept_with_all_members(clock) -> None:
    engines = [engine_of(clock, lambda call: SECONDS * (100 if call < 1 else 1)) for _ in range(2)]
    used = run(members_of(*engines), 60.0, 1000)  # the first call takes 8 s, at which pace the rest would take 1,992
    assert used.members[0].num_strips == 1000
    assert used.members[1].num_strips > 900
    assert clock.now < 60


def test_a_member_that_was_left_out_too_early_comes_back(clock, caplog) -> None:
    caplog.set_level(logging.INFO)
    warm = engine_of(clock, lambda call: SECONDS)
    late = engine_of(clock, lambda call: SECONDS * (100 if call < 6 else 1))  # slower for longer than the warm-up
    used = run(members_of(warm, late), 150.0, 4000)
    assert "prediction goes on without a fold 1" in caplog.text
    assert "there is time for a fold 1" in caplog.text
    assert used.members[0].num_strips == 4000
    assert used.members[1].num_strips > 3500
    assert clock.now < 150


def test_a_member_that_becomes_slow_is_left_out_in_time(clock, caplog) -> None:
    caplog.set_level(logging.INFO)
    steady = engine_of(clock, lambda call: SECONDS)
    throttled = engine_of(clock, lambda call: SECONDS * (10 if call > 100 else 1))
    used = run(members_of(steady, throttled), 100.0, 4000)
    assert "there is no time left for a fold 1" in caplog.text
    assert used.members[0].num_strips == 4000
    assert clock.now < 100


def test_a_slow_member_is_tried_again_only_as_often_as_that_costs_little(clock) -> None:
    quick, slow = engine_of(clock, lambda call: SECONDS), engine_of(clock, lambda call: 30 * SECONDS)
    used = run(members_of(quick, slow), 100.0, 4000)  # the slow one alone would need 1,200 s
    assert used.members[0].num_strips == 4000
    assert clock.now < 100


def test_the_clock_counts_what_is_not_spent_in_engines(clock, caplog) -> None:
    """Decoding takes nine times as long as the networks: the time suffices for one of the two."""
    caplog.set_level(logging.INFO)
    members = members_of(*(engine_of(clock, lambda call: SECONDS) for _ in range(2)))
    loaded = Ensemble(members)
    budgeted = BudgetedEnsemble(loaded, TimeBudget.from_now(105.0), 1000)
    for _ in range(250):
        clock.now += 0.09 * len(BATCH)
        budgeted(BATCH)
    assert "there is no time left for a fold 1" in caplog.text
    assert loaded.members[0].num_strips == 1000


def test_members_without_an_engine_are_left_out_when_the_time_for_building_is_over(clock, caplog, monkeypatch) -> None:
    caplog.set_level(logging.INFO)
    given = []

    class SlowToBuild:
        name, averages_on_device = "slow-to-build", False

        @classmethod
        def load_within(cls, member, seconds: float):
            given.append((member.name, round(seconds)))
            if seconds < 15:
                clock.now += seconds
                raise BuildTimeout("the build was stopped")
            clock.now += 15
            return engine_of(clock, lambda call: SECONDS)

    monkeypatch.setattr(ensemble.catalog, "engine_class", lambda name: SlowToBuild)
    members = [SimpleNamespace(name=f"{encoder} {fold}", encoder=encoder) for encoder in "ab" for fold in range(2)]
    loaded = load_ensemble(members, {"a": 1, "b": 2}, "slow-to-build", TimeBudget.from_now(100))
    assert given == [("a 0", 40), ("b 0", 25), ("a 1", 10), ("b 1", 0)], "one fold of each encoder first"
    assert [(member.name, member.weight) for member in loaded.members] == [("a 0", 1), ("b 0", 2)]
    assert "2 of 4 engines are ready; left out: a 1, b 1" in caplog.text
