"""Which strips a synthetic data set has: their names, the classes that each shows, and the near-duplicates.

Combinations of classes have the competition's frequencies, rounded by the largest remainder, with a minimum for rare
classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from severstal.data.labels import CLASSES

TRAIN, TEST = 0, 1  # first key of a strip's generator
PLAIN_NAMES, WIDE_NAMES = 2, 3  # key of the names' generator

# Training strips of the competition by the classes that they show (12,568 in all).
COMPETITION_STRIPS: dict[tuple[int, ...], int] = {
    (): 5902, (3,): 4759, (1,): 769, (4,): 516, (3, 4): 284, (2,): 195,
    (1, 3): 91, (1, 2): 35, (2, 3): 14, (1, 2, 3): 2, (2, 4): 1,
}  # fmt: skip
MIN_STRIPS = {TRAIN: 8, TEST: 2}  # that show a class
NEAR_DUPLICATE_SHARE = 0.015


@dataclass(frozen=True)
class PlannedStrip:
    """One strip to draw.

    Attributes:
        part: ``TRAIN`` or ``TEST``.
        source: number of the strip that it looks like: its own number, or another one's for a near-duplicate.
    """

    part: int
    number: int
    name: str
    classes: tuple[int, ...]
    source: int


def plan(train: int, test: int, seed: int, name_key: int = PLAIN_NAMES) -> list[PlannedStrip]:
    """All strips of a data set, the train part first; only train strips have near-duplicates.

    Args:
        name_key: sets of other keys have other names, so that no two strips of different looks share a name.
    """
    names = _names(train + test, seed, name_key)
    strips = []
    for part, count in ((TRAIN, train), (TEST, test)):
        rng = np.random.default_rng([seed, part])
        classes = class_combinations(count, MIN_STRIPS[part])
        classes = [classes[index] for index in rng.permutation(count)]
        sources = _sources(rng, classes) if part == TRAIN else list(range(count))
        start = part * train
        strips += [PlannedStrip(part, i, names[start + i], classes[i], sources[i]) for i in range(count)]
    return strips


def _names(count: int, seed: int, key: int) -> list[str]:
    """Different names of nine hexadecimal digits."""
    rng = np.random.default_rng([seed, key])
    names: dict[str, None] = {}
    while len(names) < count:
        names[f"{rng.integers(16**9):09x}.jpg"] = None
    return list(names)


def class_combinations(count: int, min_strips: int) -> list[tuple[int, ...]]:
    """Classes of ``count`` strips in the competition's frequencies, rounded by the largest remainder.

    Args:
        min_strips: strips that show a class at least, or an eighth of all strips where that is fewer.
    """
    total = sum(COMPETITION_STRIPS.values())
    exact = {classes: count * number / total for classes, number in COMPETITION_STRIPS.items()}
    rounded = {classes: int(value) for classes, value in exact.items()}
    by_remainder = sorted(exact, key=lambda classes: rounded[classes] - exact[classes])
    for classes in by_remainder[: count - sum(rounded.values())]:
        rounded[classes] += 1
    _raise_rare(rounded, min(min_strips, count // 8))
    return [classes for classes, number in rounded.items() for _ in range(number)]


def _raise_rare(counts: dict[tuple[int, ...], int], min_strips: int) -> None:
    """Give every class its minimum, at the cost of the most frequent combination (clean, or class 3)."""
    for class_id in CLASSES:
        known = sum(number for classes, number in counts.items() if class_id in classes)
        for _ in range(min_strips - known):
            counts[max(counts, key=lambda classes: counts[classes])] -= 1
            counts[(class_id,)] += 1


def _sources(rng: np.random.Generator, classes: list[tuple[int, ...]]) -> list[int]:
    """For each strip the one that it looks like: itself, or for a few another one with the same defects."""
    sources = list(range(len(classes)))
    missing = max(1, round(NEAR_DUPLICATE_SHARE * len(classes))) if len(classes) >= 16 else 0
    used: set[int] = set()
    for strip in rng.permutation(len(classes)).tolist():
        candidates = [
            other
            for other, combination in enumerate(classes)
            if combination == classes[strip] and other != strip and other not in used
        ]
        if missing and classes[strip] and candidates and strip not in used:
            sources[strip] = int(rng.choice(candidates))
            used |= {strip, sources[strip]}
            missing -= 1
    return sources
