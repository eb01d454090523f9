"""BCE + Dice on logits, each over the whole batch."""

from __future__ import annotations

import torch
from torch import nn

from severstal.vision import smp


class BceDice(nn.Module):
    """``(1 - w) * BCE + w * soft Dice``; Dice is per class over the batch, over the classes present in it."""

    def __init__(self, dice_weight: float) -> None:
        super().__init__()
        self._weight = dice_weight
        self._bce = nn.BCEWithLogitsLoss()
        self._dice = smp.losses.DiceLoss(mode="multilabel", smooth=1.0)

    def forward(self, logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Scalar loss of float32 logits ``[N, 4, H, W]`` against float32 masks of the same shape."""
        return (1 - self._weight) * self._bce(logits, masks) + self._weight * self._dice(logits, masks)
