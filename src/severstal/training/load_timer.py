"""How much of the training time is spent waiting for the data loader."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

MAX_SHARE = 0.05  # of an epoch's training time; above it the log line suggests more loader processes


class LoadTimer:
    """Iterates over batches and adds up the time spent waiting for them.

    On a GPU it is an upper bound: steps are queued, so the GPU may still be busy while the next batch is waited for.

    Attributes:
        seconds: waited so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items of ``items``."""
        iterator = iter(items)
        while True:
            started = time.monotonic()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.seconds += time.monotonic() - started
            yield item


def describe_loading(share: float, num_workers: int) -> str:
    """Text for an epoch's share of loading time, with a suggestion if it is above ``MAX_SHARE``."""
    text = f"loading {share:.1%}"
    if share <= MAX_SHARE:
        return text
    if num_workers:
        return f"{text}, more than {MAX_SHARE:.0%}: give more than {num_workers} loader processes, --num-workers N"
    return f"{text}, more than {MAX_SHARE:.0%}: load beside the training, --num-workers 1"
