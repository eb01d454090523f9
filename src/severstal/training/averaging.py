"""The best epochs of a training so far, and the average of their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

State = dict[str, torch.Tensor]


class BestEpochs:
    """Keeps the ``most`` best epochs, the best first; of equals the earlier.

    Attributes:
        kept: ``dice``, ``epoch`` and ``state`` of each: plain values and tensors, as a checkpoint holds them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.kept: list[dict[str, Any]] = []

    def add(self, dice: float, epoch: int, state: Callable[[], State]) -> None:
        """Take an epoch into account; ``state`` is asked for its weights only if it is among the best."""
        if len(self.kept) == self._most and dice <= self.kept[-1]["dice"]:
            return
        entry = {"dice": dice, "epoch": epoch, "state": state()}
        self.kept = sorted([*self.kept, entry], key=lambda one: -one["dice"])[: self._most]

    @property
    def best(self) -> dict[str, Any]:
        return self.kept[0]

    def average(self) -> State:
        """Mean of the kept epochs' weights and running statistics; counters are the best epoch's."""
        states = [one["state"] for one in self.kept]
        return {
            name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
            for name, value in states[0].items()
        }
