"""The prediction pipeline: names of strips in, run-length codes out.

Decoding of the next strips and post-processing of the last ones run in threads beside the networks. A few batches are
in memory at a time, however many strips there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from severstal.data import rle
from severstal.engines.base import BATCH_SIZE
from severstal.engines.outputs import Outputs
from severstal.inference.corrupt_strips import Batch, StripReader
from severstal.postprocess.rules import Rule, masks_of

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_BATCH_PIXELS = 2**24  # 41 strips of the competition; a network takes some 400 bytes for each pixel
AHEAD = 4  # batches that are decoded, or that wait for post-processing, at a time


def predict_codes(
    batches: Iterable[list[str]],
    reader: StripReader,
    predict: Callable[[np.ndarray], Outputs | None],
    rules: tuple[Rule, ...],
) -> Iterator[tuple[str, list[str]]]:
    """Predict strips by name.

    Args:
        batches: names of strips, in groups that are predicted together.
        predict: maps strips ``uint8 [N, H, W]`` to probability maps ``uint8 [N, 4, H, W]`` and class probabilities
            ``uint8 [N, 4]``, such as an ensemble does, or to None. It is called in the thread that iterates.
        rules: post-processing of each class.

    Yields:
        A strip's name and its four run-length codes, in the order of ``batches``; a corrupt strip that the reader
        leaves out, or one that got no prediction, has four empty codes.
    """

    def encode_batch(item: tuple[Batch, Outputs | None]) -> list[tuple[str, list[str]]]:
        batch, answers = item
        predicted = zip(batch.decoded, *answers, strict=True) if answers else ()
        codes = {image: encode(probability, classes, rules) for image, probability, classes in predicted}
        return [(image, codes.get(image, [""] * len(rules))) for image in batch.images]

    with ThreadPoolExecutor(2) as reading, ThreadPoolExecutor(2) as encoding:
        decoded = ahead(reading, reader.read_batch, batches)
        predicted = ((batch, None if batch.strips is None else predict(batch.strips)) for batch in decoded)
        for codes in ahead(encoding, encode_batch, predicted):
            yield from codes


def encode(probability: np.ndarray, class_probability: np.ndarray, rules: tuple[Rule, ...]) -> list[str]:
    """The four run-length codes of a strip, from its ``uint8 [4, H, W]`` map and ``uint8 [4]`` class probabilities."""
    return [rle.encode(mask) for mask in masks_of(probability, class_probability, rules)]


def batch_size(height: int, width: int) -> int:
    """Strips per call: ``BATCH_SIZE``, or fewer where strips are so large that the networks lack memory for as many."""
    return max(1, min(BATCH_SIZE, MAX_BATCH_PIXELS // (height * width)))


def in_batches(items: list[Item], size: int = BATCH_SIZE) -> Iterator[list[Item]]:
    """Consecutive groups of ``size`` items; the last one may be smaller."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], count: int = AHEAD
) -> Iterator[Result]:
    """Results of ``work`` in order, with up to ``count`` items under way in the pool."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) >= count:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
