"""Ensembled prediction: strips through every member, the mean map cut into masks, masks into codes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from severstal.data import rle
from severstal.engines.base import Engine
from severstal.errors import InputError
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.rules import Rule, masks_of

Item, Made = TypeVar("Item"), TypeVar("Made")

AHEAD = 4  # batches decoded, or waiting to be cut, at a time: memory stays flat however many strips there are


@dataclass
class Ensemble:
    """Engines with the weights of their maps in the mean, and the seconds that each has taken.

    Attributes:
        weights: whole numbers, one per engine.
        together: makes one callable of engines and weights, for engines that average where they compute.
        apart: one engine after the other, each timed, even where they could run together.
        seconds: of each engine so far, where they ran apart.
        strips: seen so far.
    """

    engines: list[Engine]
    weights: list[int]
    together: Callable[[list[Engine], list[int]], Engine] | None = None
    apart: bool = False
    seconds: np.ndarray = field(init=False)
    strips: int = 0

    def __post_init__(self) -> None:
        self.seconds = np.zeros(len(self.engines))
        self._joined: Engine | None = None

    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean maps ``uint8 [N, 4, H, W]`` and presences ``uint8 [N, 4]`` of strips ``uint8 [N, H, W]``."""
        self.strips += len(strips)
        if self.together is None or self.apart or len(self.engines) == 1:
            return self._one_by_one(strips)
        if self._joined is None:
            self._joined = self.together(self.engines, self.weights)
        return self._joined(strips)

    def _one_by_one(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answers = []
        for number, engine in enumerate(self.engines):
            began = time.monotonic()
            answers.append(engine(strips))
            self.seconds[number] += time.monotonic() - began
        maps, class_probabilities = zip(*answers, strict=True)
        return mean_map(maps, self.weights), mean_map(class_probabilities, self.weights)

    def keep(self, chosen: list[int]) -> None:
        """Go on with some of the engines only."""
        self.engines = [self.engines[i] for i in chosen]
        self.weights = [self.weights[i] for i in chosen]
        self.seconds = self.seconds[chosen]
        self._joined = None


@dataclass
class Reader:
    """Reads strips by name; what is damaged is an error, or, where that is wanted, kept in ``damaged``.

    Attributes:
        read: gives the ``uint8 [H, W]`` strip of a name.
        skip: whether a damaged strip is to be predicted empty instead of ending the run.
        damaged: name and reason of each damaged strip.
    """

    read: Callable[[str], np.ndarray]
    skip: bool = False
    damaged: dict[str, str] = field(default_factory=dict)

    def batch(self, images: list[str]) -> tuple[list[str], list[str], np.ndarray | None]:
        """The names asked for, those that could be read, and their strips ``uint8 [n, H, W]``."""
        whole = {}
        for image in images:
            try:
                whole[image] = self.read(image)
            except InputError as error:
                if not self.skip:
                    raise
                self.damaged[image] = str(error)
        return images, list(whole), np.stack(list(whole.values())) if whole else None


def codes_of(
    batches: Iterable[list[str]], reader: Reader, ensemble: Ensemble, rules: tuple[Rule, ...]
) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(image, its four codes)`` in order; decoding and cutting run beside the engines."""
    with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(2) as cutters:
        decoded = _ahead(readers, reader.batch, batches)
        averaged = ((images, whole, ensemble(maps) if whole else ((), ())) for images, whole, maps in decoded)
        yield from (pair for batch in _ahead(cutters, lambda item: _codes(*item, rules), averaged) for pair in batch)


def _codes(
    images: list[str],
    whole: list[str],
    answers: tuple[Iterable[np.ndarray], Iterable[np.ndarray]],
    rules: tuple[Rule, ...],
) -> list[tuple[str, list[str]]]:
    made = {image: encode(*answer, rules) for image, *answer in zip(whole, *answers, strict=True)}
    return [(image, made.get(image, [""] * len(rules))) for image in images]


def encode(probability: np.ndarray, class_probability: np.ndarray, rules: tuple[Rule, ...]) -> list[str]:
    """The four codes of a strip's ``uint8 [4, H, W]`` map and ``uint8 [4]`` presences."""
    return [rle.encode(one) for one in masks_of(probability, class_probability, rules)]


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
