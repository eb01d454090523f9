"""The running ensemble: the mean of its members, on the host or on the device, and the time that each one takes."""

from __future__ import annotations

import numpy as np
import pytest
from support.rolling_engine import IMAGES, ensemble_of, rolling_engine, strip_of

from severstal.engines.base import Engine
from severstal.inference.ensemble import Ensemble, LoadedMember
from severstal.postprocess.ensemble_mean import mean_map

STRIPS = np.stack([strip_of(image) for image in IMAGES[:2]])


def test_an_ensemble_goes_on_with_the_members_that_are_kept() -> None:
    ensemble = ensemble_of([rolling_engine(0), rolling_engine(1), rolling_engine(2)], [1, 2, 3])
    ensemble(STRIPS)
    assert ensemble.num_strips == 2
    assert all(member.seconds > 0 for member in ensemble.members)
    ensemble.use([0])
    ensemble(STRIPS)
    assert [member.num_strips for member in ensemble.members] == [4, 2, 2]
    ensemble.keep([0, 2])
    assert np.array_equal(
        ensemble(STRIPS)[0], mean_map([rolling_engine(0)(STRIPS)[0], rolling_engine(2)(STRIPS)[0]], [1, 3])
    )


def test_times_are_seconds_per_strip_since_the_last_reset() -> None:
    ensemble = Ensemble(
        [LoadedMember(rolling_engine(0), 1, "a fold 0", "a"), LoadedMember(rolling_engine(0), 1, "b fold 1", "b")]
    )
    ensemble(STRIPS)
    ensemble.reset_times()
    ensemble(STRIPS)
    ensemble.members[1].seconds = 0.5
    times = ensemble.times()
    assert [(member.name, member.encoder) for member in times] == [("a fold 0", "a"), ("b fold 1", "b")]
    assert times[1].seconds == pytest.approx(0.25)


def test_members_are_averaged_on_the_device_unless_each_one_is_timed() -> None:
    averaged = []

    class DeviceEngine(Engine):
        @classmethod
        def average(cls, engines: list, weights: list[int]):
            averaged.append(len(engines))
            return ensemble_of(engines, weights)

    members = [LoadedMember(rolling_engine(shift), weight) for shift, weight in enumerate((1, 2, 1))]
    ensemble = Ensemble(members, DeviceEngine)
    ensemble.time_members = True
    apart = ensemble(STRIPS)
    assert all(member.seconds > 0 for member in ensemble.members)
    assert averaged == []
    ensemble.time_members = False
    seconds = [member.seconds for member in ensemble.members]
    assert all(np.array_equal(*pair) for pair in zip(ensemble(STRIPS), apart, strict=True))
    ensemble(STRIPS)
    assert averaged == [3]
    assert [member.seconds for member in ensemble.members] == seconds
    assert (ensemble.num_strips, ensemble.members[0].timed_strips) == (6, 2)
    ensemble.keep([0, 2])
    assert np.array_equal(ensemble(STRIPS)[0], mean_map([rolling_engine(0)(STRIPS)[0], rolling_engine(2)(STRIPS)[0]]))
    assert averaged == [3, 2]
    ensemble.keep([1])
    assert np.array_equal(ensemble(STRIPS)[0], rolling_engine(2)(STRIPS)[0])
    assert averaged == [3, 2], "a single engine has nothing to average"
