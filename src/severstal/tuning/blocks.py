"""The out-of-fold maps that tuning reads, strip by strip, in blocks that threads share.

Strips are dealt into blocks, each within one fold. Decompression, compiled kernels and OpenCV let other threads run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from severstal.postprocess.ensemble_mean import mean_map

EnsembleWeights = tuple[int, ...]  # of the encoders' maps, in their order
Result = TypeVar("Result")

BLOCKS = 32  # in all: enough for a standard error from the spread between them


class Maps(Protocol):
    """Out-of-fold maps of an ensemble, and their truth."""

    encoders: list[str]
    has_heads: bool  # whether every network has a classification head
    folds: list[list[str]]  # images of each fold
    height: int
    width: int

    def maps(self, fold: int, image: str) -> list[np.ndarray]:
        """Each encoder's ``uint8 [4, H, W]``."""
        ...

    def class_probabilities(self, fold: int, image: str) -> list[np.ndarray]:
        """Each encoder's ``uint8 [4]``."""
        ...

    def truth(self, image: str) -> dict[int, np.ndarray]:
        """Bool ``[H, W]`` of each class that occurs."""
        ...


@dataclass(frozen=True)
class Block:
    """Some strips of one fold."""

    fold: int
    images: list[str]


def deal(folds: list[list[str]]) -> list[Block]:
    """Each fold's strips dealt into blocks of about the same size."""
    each = max(BLOCKS // len(folds), 1)
    dealt = [Block(fold, images[start::each]) for fold, images in enumerate(folds) for start in range(each)]
    return [block for block in dealt if block.images]


def in_order(folds: list[list[str]], size: int) -> list[Block]:
    """Each fold's strips in their order, cut into blocks of at most ``size``."""
    return [
        Block(fold, images[start : start + size])
        for fold, images in enumerate(folds)
        for start in range(0, len(images), size)
    ]


def counts_and_folds(blocks: list[Block]) -> tuple[np.ndarray, np.ndarray]:
    """Strips in each block, and its fold: ``int64 [blocks]`` each."""
    return np.array([len(block.images) for block in blocks]), np.array([block.fold for block in blocks])


def averages(
    source: Maps, fold: int, image: str, ensemble_weights: Iterable[EnsembleWeights]
) -> dict[EnsembleWeights, tuple[np.ndarray, np.ndarray]]:
    """A strip's mean map ``uint8 [4, H, W]`` and class probabilities ``uint8 [4]``, by ensemble weights."""
    maps, class_probabilities = source.maps(fold, image), source.class_probabilities(fold, image)
    return {
        weights: (mean_map(maps, weights), mean_map(class_probabilities, weights)) for weights in set(ensemble_weights)
    }


def over_blocks(work: Callable[[Block], Result], blocks: list[Block], workers: int, label: str) -> list[Result]:
    """Results in the blocks' order, computed by threads, with a progress bar."""
    results = Parallel(n_jobs=workers, prefer="threads", return_as="generator")(
        delayed(work)(block) for block in blocks
    )
    return list(tqdm(results, label, total=len(blocks), unit="block", leave=False, disable=None))
