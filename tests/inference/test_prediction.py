"""The prediction pipeline: every strip's codes in order, corrupt strips, flat memory, and work side by side."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from support.rolling_engine import IMAGES, ensemble_of, rolling_engine, strip_of

from severstal.data import rle
from severstal.errors import InputError
from severstal.inference import prediction
from severstal.inference.corrupt_strips import StripReader
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.rules import ComponentArea

RULES = (ComponentArea(threshold=100, min_area=3),) * 4
PATIENCE = 30  # seconds after which a thread that waits for another one gives up, and the test fails


def predict_all(reader: StripReader, predict, size: int = 4) -> list[tuple[str, list[str]]]:
    return list(prediction.predict_codes(prediction.in_batches(IMAGES, size), reader, predict, RULES))


@pytest.mark.parametrize("size", [1, 4, 40])
def test_every_strip_gets_the_codes_of_the_weighted_mean_once_and_in_order(size: int) -> None:
    predicted = predict_all(StripReader(strip_of), ensemble_of([rolling_engine(0), rolling_engine(5)], [3, 1]), size)
    assert [image for image, _ in predicted] == IMAGES
    for image, codes in predicted:
        strip = strip_of(image)[None]
        averaged = mean_map([rolling_engine(0)(strip)[0][0], rolling_engine(5)(strip)[0][0]], [3, 1])
        assert codes == [rle.encode(rule.apply(level, 255)) for level, rule in zip(averaged, RULES, strict=True)]


def test_a_corrupt_strip_stops_the_run_by_name_or_is_predicted_empty_and_listed() -> None:
    corrupt = ["002.jpg", "004.jpg", "005.jpg", "006.jpg", "007.jpg"]  # one of the first batch, all of the second

    def read(image: str) -> np.ndarray:
        if image in corrupt:
            raise InputError(f"{image} is cut short")
        return strip_of(image)

    with pytest.raises(InputError, match=r"002\.jpg is cut short"):
        predict_all(StripReader(read), ensemble_of([rolling_engine(0)], [1]))
    reader = StripReader(read, skip_corrupt=True)
    predicted = dict(predict_all(reader, ensemble_of([rolling_engine(0)], [1])))
    assert list(predicted) == IMAGES
    assert reader.corrupt == {image: f"{image} is cut short" for image in corrupt}
    for image, codes in predicted.items():
        assert (codes == [""] * 4) == (image in corrupt)


@pytest.mark.parametrize(("height", "width", "strips"), [(256, 1600, 4), (1024, 8192, 2), (4096, 16384, 1)])
def test_large_strips_are_predicted_in_smaller_batches(height: int, width: int, strips: int) -> None:
    assert prediction.batch_size(height, width) == strips


def test_a_few_batches_are_in_memory_however_many_strips_there_are() -> None:
    lock, state = threading.Lock(), {"read": 0, "most": 0}
    ensemble = ensemble_of([rolling_engine(0)], [1])

    def read(image: str) -> np.ndarray:
        with lock:
            state["read"] += 1
            state["most"] = max(state["most"], state["read"] - ensemble.num_strips)
        return strip_of(image)

    predict_all(StripReader(read), ensemble, size=1)
    assert state["read"] == len(IMAGES)
    assert state["most"] <= prediction.AHEAD + 1


def test_later_strips_are_read_while_the_networks_run() -> None:
    running, read = threading.Event(), threading.Event()

    def read_strip(image: str) -> np.ndarray:
        if image == IMAGES[2]:
            assert running.wait(PATIENCE), "the networks wait until every strip is read"
            read.set()
        return strip_of(image)

    def predict(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        running.set()
        assert read.wait(PATIENCE), "no strip is read while the networks run"
        return rolling_engine(0)(strips)

    assert len(predict_all(StripReader(read_strip), predict, size=1)) == len(IMAGES)


def test_masks_are_encoded_while_the_networks_run(monkeypatch) -> None:
    running, encoded = threading.Event(), threading.Event()
    calls, encode = iter(range(len(IMAGES))), prediction.encode

    def slow_encode(*answers) -> list[str]:
        assert running.wait(PATIENCE), "the networks wait until the first strip is encoded"
        encoded.set()
        return encode(*answers)

    def predict(strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if next(calls) == 1:
            running.set()
            assert encoded.wait(PATIENCE), "no mask is encoded while the networks run"
        return rolling_engine(0)(strips)

    monkeypatch.setattr(prediction, "encode", slow_encode)
    assert len(predict_all(StripReader(strip_of), predict, size=1)) == len(IMAGES)
