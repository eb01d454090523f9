"""The exponential moving average of a network's weights."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


class MovingAverage:
    """A copy of a network whose weights and running statistics follow those of the original.

    The decay grows with the steps, ``1 - step ** (-2 / 3)``, up to its limit, so that a short training is not averaged
    with its random start (Katherine Crowson's warm-up, as in timm's ``ModelEmaV3`` with ``use_warmup``). A training of
    fewer than ``(1 - limit) ** -1.5`` steps never reaches its limit: 11,180 steps for 0.998, 31,623 for 0.999.

    Attributes:
        module: the averaged network, in evaluation mode.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Copy a network; ``decay`` is the limit, per step."""
        self.module = deepcopy(network).eval()
        self._decay = decay
        self._pairs: _Pairs | None = None

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Follow the network after a step, counted from 0.

        Its tensors are listed in the first call: they must stay the same objects. On a GPU all of them are updated by a
        few launches.
        """
        if self._pairs is None:
            self._pairs = _Pairs(self.module, network)
        averaged, weights = self._pairs.floats
        torch._foreach_lerp_(averaged, weights, weight=1.0 - self._decay_at(step))
        if self._pairs.counters[0]:
            torch._foreach_copy_(*self._pairs.counters)

    def _decay_at(self, step: int) -> float:
        return max(min(1 - step ** (-2 / 3), self._decay), 0.0) if step > 1 else 0.0


class _Pairs:
    """The tensors of two networks of one structure, listed once: a walk over state dicts takes milliseconds a step.

    Attributes:
        floats: tensors to average, of the average and of the network.
        counters: integer tensors, which are copied.
    """

    def __init__(self, averaged: nn.Module, network: nn.Module) -> None:
        pairs = list(zip(averaged.state_dict().values(), network.state_dict().values(), strict=True))
        self.floats, self.counters = (
            (
                [pair[0] for pair in pairs if pair[0].is_floating_point() == is_float],
                [pair[1] for pair in pairs if pair[0].is_floating_point() == is_float],
            )
            for is_float in (True, False)
        )
