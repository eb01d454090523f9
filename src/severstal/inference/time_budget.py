"""Which members of an ensemble to keep so that prediction ends in time."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from severstal.console import duration
from severstal.errors import InputError

logger = logging.getLogger(__name__)

SAFETY_FACTOR = 1.05  # on the measured seconds


@dataclass(frozen=True)
class MemberTime:
    """What one member of an ensemble costs.

    Attributes:
        name: such as ``resnet34 fold 0``.
        encoder: such as ``resnet34``.
        seconds: per strip.
    """

    name: str
    encoder: str
    seconds: float


@dataclass(frozen=True)
class TimeBudget:
    """A time by which prediction has to end.

    Attributes:
        ends_at: seconds on the clock of ``time.monotonic``.
    """

    ends_at: float

    @classmethod
    def from_now(cls, seconds: float) -> TimeBudget:
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, 0 if the time is over."""
        return max(self.ends_at - time.monotonic(), 0.0)

    def select(self, members: Sequence[MemberTime], num_strips: int, *, or_quickest: bool = False) -> list[int]:
        """Decide which members predict the strips that are left, and log the decision.

        Args:
            num_strips: strips that are left to predict.
            or_quickest: keep the quickest member where none finishes in time, instead of raising.

        Returns:
            Indices of the members to keep, ascending.

        Raises:
            InputError: if not even the quickest member finishes in time.
        """
        remaining = self.remaining()
        seconds = _seconds_needed(members, num_strips)
        kept = self.fitting(members, num_strips)
        if not kept:
            quickest = int(np.argmin(seconds))
            problem = (
                f"no member of the ensemble finishes in the {duration(remaining)} that are left; the quickest, "
                f"{members[quickest].name}, takes {duration(seconds[quickest])}"
            )
            if not or_quickest:
                raise InputError(f"{problem}: give a longer --time-limit, or a faster --engine")
            logger.warning("%s: prediction goes on with it as far as the time allows", problem)
            return [quickest]
        needed = f"the whole ensemble needs {duration(sum(seconds))} and {duration(remaining)} are left"
        left_out = [member.name for index, member in enumerate(members) if index not in kept]
        if left_out:
            logger.info("%s: prediction goes on without %s", needed, ", ".join(left_out))
        else:
            logger.info("%s: it finishes in time", needed)
        return kept

    def fitting(self, members: Sequence[MemberTime], num_strips: int, pace: float = 1.0) -> list[int]:
        """Indices of the members that together predict ``num_strips`` strips in time; empty if not even one does.

        Args:
            pace: seconds on the clock for each second of the members.
        """
        seconds = [pace * value for value in _seconds_needed(members, num_strips)]
        return fit_to_budget(seconds, [member.encoder for member in members], self.remaining())


def _seconds_needed(members: Sequence[MemberTime], num_strips: int) -> list[float]:
    return [member.seconds * num_strips * SAFETY_FACTOR for member in members]


def fit_to_budget(seconds: Sequence[float], encoders: Sequence[str], budget: float) -> list[int]:
    """Choose members that together finish within a budget: one fold of each encoder in turn, as long as the next fits.

    Different encoders add more to an ensemble than further folds of one encoder, so they go first.

    Args:
        seconds: what each member needs for all strips.
        encoders: the encoder of each member.
        budget: seconds.

    Returns:
        Indices of the chosen members, ascending; empty if not even one fits.
    """
    chosen, spent = [], 0.0
    for index in in_turns(encoders):
        if spent + seconds[index] <= budget:
            chosen.append(index)
            spent += seconds[index]
    return sorted(chosen)


def in_turns(encoders: Sequence[str]) -> list[int]:
    """Indices of the members in the order in which they matter: one fold of each encoder in turn."""
    counts: dict[str, int] = {}
    order = []
    for index, encoder in enumerate(encoders):
        counts[encoder] = counts.get(encoder, -1) + 1
        order.append((counts[encoder], index))
    return [index for _, index in sorted(order)]
