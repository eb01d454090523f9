"""How long training waits for its samples."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

MOST = 0.05  # of an epoch's training time; beyond it the network is kept waiting


class LoadTimer:
    """Passes items on and adds up the seconds spent waiting for them.

    On a GPU steps are queued ahead, so it may still be busy while the next batch is waited for: an upper bound there.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        iterator = iter(items)
        while True:
            began = time.monotonic()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.seconds += time.monotonic() - began
            yield item


def describe_loading(share: float, workers: int) -> str:
    """An epoch's share of waiting in words; with the cure where it is too much."""
    text = f"loading {share:.1%}"
    if share <= MOST:
        return text
    if workers:
        return f"{text}, more than {MOST:.0%}: give more than {workers} loader processes, --num-workers N"
    return f"{text}, more than {MOST:.0%}: load beside the training, --num-workers 1"
