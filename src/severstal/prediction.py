"""Ensembled prediction: strips through every member, the mean map cut into masks, masks into codes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from severstal import rle
from severstal.engines import Engine
from severstal.ensemble import mean_map
from severstal.postprocess import Cut, mask

Item, Made = TypeVar("Item"), TypeVar("Made")

AHEAD = 4  # batches decoded, or waiting to be cut, at a time: memory stays flat however many strips there are


def codes_of(
    batches: Iterable[list[str]],
    read: Callable[[str], np.ndarray],
    engines: list[tuple[Engine, int]],
    cuts: tuple[Cut, ...],
) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(image, its four codes)`` in order; decoding and cutting run beside the engines.

    Args:
        read: gives the ``uint8 [H, W]`` strip of a name.
        engines: each with the weight of its maps in the mean.
    """
    loaded, weights = zip(*engines, strict=True)
    with ThreadPoolExecutor(2) as pool:
        decoded = _ahead(pool, lambda images: (images, np.stack([read(image) for image in images])), batches)
        averaged = ((images, mean_map([engine(strips)[0] for engine in loaded], weights)) for images, strips in decoded)
        for images, codes in _ahead(pool, lambda item: (item[0], [encode(m, cuts) for m in item[1]]), averaged):
            yield from zip(images, codes, strict=True)


def encode(probability: np.ndarray, cuts: tuple[Cut, ...]) -> list[str]:
    """The four codes of a strip's ``uint8 [4, H, W]`` map."""
    return [rle.encode(mask(one, cut)) for one, cut in zip(probability, cuts, strict=True)]


def in_batches(images: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def _ahead(pool: ThreadPoolExecutor, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """Results of ``work`` in order, with a few under way in the pool while earlier ones are used."""
    waiting: deque[Future[Made]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
