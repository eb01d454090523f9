"""Which strips a synthetic data set has: names, the classes each shows, and which are near-copies of another.

Promises the competition's frequencies, rounded by the largest remainder, with a minimum for rare classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TRAIN, TEST = 0, 1  # first key of a strip's generator

# Strips of the competition by the classes they show (12,568 in all).
STRIPS: dict[tuple[int, ...], int] = {
    (): 5902, (3,): 4759, (1,): 769, (4,): 516, (3, 4): 284, (2,): 195,
    (1, 3): 91, (1, 2): 35, (2, 3): 14, (1, 2, 3): 2, (2, 4): 1,
}  # fmt: skip
AT_LEAST = {TRAIN: 8, TEST: 2}
NEAR_COPIES = 0.015


@dataclass(frozen=True)
class Strip:
    """One strip to make: its name, the classes it shows, and the number of the strip that it looks like."""

    part: int
    number: int
    name: str
    classes: tuple[int, ...]
    source: int


def plan(train: int, test: int, seed: int) -> list[Strip]:
    """All strips of a data set, the train part first; only train strips have near-copies."""
    names = _names(train + test, seed)
    strips = []
    for part, count in ((TRAIN, train), (TEST, test)):
        rng = np.random.default_rng([seed, part])
        classes = shares(count, AT_LEAST[part])
        classes = [classes[index] for index in rng.permutation(count)]
        sources = _near_copies(rng, classes) if part == TRAIN else list(range(count))
        start = part * train
        strips += [Strip(part, i, names[start + i], classes[i], sources[i]) for i in range(count)]
    return strips


def _names(count: int, seed: int) -> list[str]:
    """Different names of nine hexadecimal digits."""
    rng = np.random.default_rng([seed, 2])
    names: dict[str, None] = {}
    while len(names) < count:
        names[f"{rng.integers(16**9):09x}.jpg"] = None
    return list(names)


def shares(count: int, at_least: int) -> list[tuple[int, ...]]:
    """Classes of ``count`` strips in the competition's frequencies: rounded by the largest remainder."""
    total = sum(STRIPS.values())
    exact = {classes: count * number / total for classes, number in STRIPS.items()}
    whole = {classes: int(value) for classes, value in exact.items()}
    by_remainder = sorted(exact, key=lambda classes: whole[classes] - exact[classes])
    for classes in by_remainder[: count - sum(whole.values())]:
        whole[classes] += 1
    _raise_rare(whole, min(at_least, count // 8))
    return [classes for classes, number in whole.items() for _ in range(number)]


def _raise_rare(whole: dict[tuple[int, ...], int], at_least: int) -> None:
    """Give every class its minimum; the strips come from the commonest combination, clean or class 3."""
    for class_id in (1, 2, 3, 4):
        have = sum(number for classes, number in whole.items() if class_id in classes)
        for _ in range(at_least - have):
            whole[max(whole, key=lambda classes: whole[classes])] -= 1
            whole[(class_id,)] += 1


def _near_copies(rng: np.random.Generator, classes: list[tuple[int, ...]]) -> list[int]:
    """For each strip the one it looks like: itself, or for a few another one with the same defects."""
    sources = list(range(len(classes)))
    wanted = max(1, round(NEAR_COPIES * len(classes))) if len(classes) >= 16 else 0
    used: set[int] = set()
    for copy in rng.permutation(len(classes)).tolist():
        near_duplicates_of_labelled = [
            i for i, same in enumerate(classes) if same == classes[copy] and i != copy and i not in used
        ]
        if wanted and classes[copy] and near_duplicates_of_labelled and copy not in used:
            sources[copy] = int(rng.choice(near_duplicates_of_labelled))
            used |= {copy, sources[copy]}
            wanted -= 1
    return sources
