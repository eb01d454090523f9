"""The epochs with the best Dice so far, and the average of their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import torch

from severstal.models.state_files import State


class TopEpoch(TypedDict):
    """One of the best epochs: plain values and tensors, so that a checkpoint can hold it."""

    dice: float
    epoch: int
    state: State


class TopEpochs:
    """The ``k`` epochs with the highest Dice and their weights.

    Attributes:
        entries: best first; of equal ones the earlier first.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self.entries: list[TopEpoch] = []

    def add(self, dice: float, epoch: int, get_state: Callable[[], State]) -> None:
        """Consider an epoch; ``get_state`` is called only if it is among the best."""
        if len(self.entries) == self._k and dice <= self.entries[-1]["dice"]:
            return
        entry = TopEpoch(dice=dice, epoch=epoch, state=get_state())
        self.entries = sorted([*self.entries, entry], key=lambda entry: -entry["dice"])[: self._k]

    @property
    def best(self) -> TopEpoch:
        """The epoch with the highest Dice."""
        return self.entries[0]

    @property
    def label(self) -> str:
        """The epochs in order, such as ``3+7+8``."""
        return "+".join(str(epoch) for epoch in sorted(entry["epoch"] for entry in self.entries))

    def average(self) -> State:
        """Mean of the epochs' weights and running statistics; integer counters are the best epoch's."""
        states = [entry["state"] for entry in self.entries]
        return {
            name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
            for name, value in states[0].items()
        }
