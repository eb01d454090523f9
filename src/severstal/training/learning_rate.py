"""Learning-rate schedule: linear warm-up, then half a cosine down to zero."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class WarmupCosine:
    """Learning rate of each optimiser step.

    Attributes:
        peak: the learning rate after the warm-up.
        warmup: share of all steps in which it rises, at least one step.
        total_steps: of the whole training.
    """

    peak: float
    warmup: float
    total_steps: int

    def __call__(self, step: int) -> float:
        """Learning rate of a step, from 0."""
        warmup_steps = max(round(self.total_steps * self.warmup), 1)
        if step < warmup_steps:
            return self.peak * (step + 1) / warmup_steps
        decay_steps = max(self.total_steps - warmup_steps, 1)
        return self.peak * 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / decay_steps))
