"""How long something takes, measured in the same way by every benchmark."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from tqdm import tqdm


def timed(work: Callable[..., object], *arguments: object) -> float:
    """Seconds that one call takes."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def interleaved_medians(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each contestant.

    All take turns within a round, so that clocks, heat and neighbours are shared alike. A first round warms up and does
    not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in tqdm(range(rounds + 1), "rounds", leave=False, disable=None):
        for name, work in contestants.items():
            taken = timed(work)
            if number:
                seconds[name].append(taken)
    return {name: float(np.median(taken)) for name, taken in seconds.items()}
