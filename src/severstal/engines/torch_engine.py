"""PyTorch in float32: the reference that every other engine is held against; on the GPU where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from severstal.experiment import Member
from severstal.models.inference_graph import load_inference_graph

if TYPE_CHECKING:
    from severstal.engines.dice_check import FoldDice


def build(member: Member, fold: FoldDice | None = None) -> None:
    """Nothing to make: the weights are the engine."""


def load(member: Member) -> TorchEngine:
    return TorchEngine(member)


class TorchEngine:
    """Eager PyTorch."""

    def __init__(self, member: Member) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = load_inference_graph(member, self._device)

    @torch.inference_mode()
    def __call__(self, strips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probability, class_probability = self._model(torch.from_numpy(strips)[:, None].to(self._device))
        return probability.cpu().numpy(), class_probability.cpu().numpy()
