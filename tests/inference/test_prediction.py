"""Prediction: order kept, damaged strips, time limits, memory flat, and what overlaps what."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from severstal.console import seconds_of
from severstal.data import rle
from severstal.errors import InputError
from severstal.inference import prediction
from severstal.inference.time_budget import affordable
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.rules import ComponentArea

RULES = (ComponentArea(threshold=100, min_area=3),) * 4
IMAGES = [f"{number:03d}.jpg" for number in range(23)]


def strip_of(image: str) -> np.ndarray:
    return np.random.default_rng(int(image[:3])).integers(0, 256, (16, 24), dtype=np.uint8)


def engine(shift: int):
    """An engine whose four maps are the strip, moved."""

    def call(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps = np.stack([np.roll(strips, shift + c, axis=2) for c in range(4)], axis=1)
        return maps, maps.max(axis=(2, 3))

    return call


def codes(reader: prediction.Reader, ensemble: prediction.Ensemble, size: int = 4) -> list[tuple[str, list[str]]]:
    return list(prediction.codes_of(prediction.in_batches(IMAGES, size), reader, ensemble, RULES))


@pytest.mark.parametrize("size", [1, 4, 40])
def test_every_strip_comes_once_in_order_with_the_codes_of_the_weighted_mean(size: int) -> None:
    made = codes(prediction.Reader(strip_of), prediction.Ensemble([engine(0), engine(5)], [3, 1]), size)
    assert [image for image, _ in made] == IMAGES
    for image, found in made:
        strip = strip_of(image)[None]
        averaged = mean_map([engine(0)(strip)[0][0], engine(5)(strip)[0][0]], [3, 1])
        assert found == [rle.encode(rule.apply(one, 255)) for one, rule in zip(averaged, RULES, strict=True)]


def test_a_damaged_strip_ends_the_run_with_its_name_or_is_predicted_empty_and_listed() -> None:
    def read(image: str) -> np.ndarray:
        if image in ("002.jpg", "004.jpg", "005.jpg", "006.jpg", "007.jpg"):  # the second batch whole
            raise InputError(f"{image} is cut short")
        return strip_of(image)

    with pytest.raises(InputError, match=r"002\.jpg is cut short"):
        codes(prediction.Reader(read), prediction.Ensemble([engine(0)], [1]))
    reader = prediction.Reader(read, skip=True)
    made = dict(codes(reader, prediction.Ensemble([engine(0)], [1])))
    assert list(made) == IMAGES
    assert sorted(reader.damaged) == ["002.jpg", "004.jpg", "005.jpg", "006.jpg", "007.jpg"]
    for image, found in made.items():
        assert (found == [""] * 4) == (image in reader.damaged)


def test_only_a_few_batches_are_under_way_at_a_time() -> None:
    """Reading waits for the engines: however many strips there are, a handful is in memory."""
    lock, state = threading.Lock(), {"read": 0, "most": 0}
    ensemble = prediction.Ensemble([engine(0)], [1])

    def read(image: str) -> np.ndarray:
        with lock:
            state["read"] += 1
            state["most"] = max(state["most"], state["read"] - ensemble.strips)
        return strip_of(image)

    codes(prediction.Reader(read), ensemble, size=1)
    assert state["read"] == len(IMAGES)
    assert state["most"] <= prediction.AHEAD + 1


def test_reading_and_cutting_run_beside_the_engine() -> None:
    pause = 0.02

    def slow_read(image: str) -> np.ndarray:
        time.sleep(pause)
        return strip_of(image)

    def slow(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        time.sleep(pause)
        return engine(0)(strips)

    began = time.monotonic()
    codes(prediction.Reader(slow_read), prediction.Ensemble([slow], [1]), size=1)
    assert time.monotonic() - began < 1.6 * pause * len(IMAGES)  # 2.0 if they took turns


def test_members_that_finish_in_time_are_one_fold_of_each_encoder_first() -> None:
    encoders = ["a", "a", "a", "b", "b", "b"]
    seconds = [10.0, 10.0, 10.0, 20.0, 20.0, 20.0]
    assert affordable(seconds, encoders, 90) == [0, 1, 2, 3, 4, 5]
    assert affordable(seconds, encoders, 75) == [0, 1, 2, 3, 4]
    assert affordable(seconds, encoders, 30) == [0, 3]
    assert affordable(seconds, encoders, 25) == [0, 1]
    assert affordable(seconds, encoders, 9) == []


def test_an_ensemble_goes_on_with_some_of_its_members() -> None:
    ensemble = prediction.Ensemble([engine(0), engine(1), engine(2)], [1, 2, 1])
    strips = np.stack([strip_of(image) for image in IMAGES[:2]])
    ensemble(strips)
    assert ensemble.strips == 2
    assert (ensemble.seconds > 0).all()
    ensemble.keep([0, 2])
    assert np.array_equal(ensemble(strips)[0], mean_map([engine(0)(strips)[0], engine(2)(strips)[0]]))


def test_engines_that_can_average_together_do_unless_each_is_to_be_timed() -> None:
    joined = []

    def together(engines: list, weights: list[int]):
        joined.append(len(engines))
        return lambda strips: prediction.Ensemble(engines, weights)(strips)

    ensemble = prediction.Ensemble([engine(0), engine(1), engine(2)], [1, 2, 1], together=together, apart=True)
    strips = np.stack([strip_of(image) for image in IMAGES[:2]])
    apart = ensemble(strips)
    assert (ensemble.seconds > 0).all()
    assert joined == []
    ensemble.apart = False
    spent = ensemble.seconds.copy()
    assert all(np.array_equal(*pair) for pair in zip(ensemble(strips), apart, strict=True))
    ensemble(strips)
    assert joined == [3]
    assert np.array_equal(ensemble.seconds, spent)
    assert ensemble.strips == 6
    ensemble.keep([0, 2])
    assert np.array_equal(ensemble(strips)[0], mean_map([engine(0)(strips)[0], engine(2)(strips)[0]]))
    assert joined == [3, 2]
    ensemble.keep([1])
    assert np.array_equal(ensemble(strips)[0], engine(2)(strips)[0])
    assert joined == [3, 2], "one engine has nothing to average"


@pytest.mark.parametrize(("text", "seconds"), [("55m", 3300), ("90s", 90), ("1h", 3600), ("1h30m", 5400)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "55", "m", "5 m", "-5m", "1.5h", "5m1h"])
def test_no_lengths_of_time(text: str) -> None:
    with pytest.raises(InputError, match="no length of time"):
        seconds_of(text)
