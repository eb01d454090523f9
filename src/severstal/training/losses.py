"""Losses on logits, each over the whole batch: cross-entropy and Dice, and what winners put beside or after them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from severstal.models.libraries import smp
from severstal.recipe import Recipe

SMOOTH = 1.0  # pixels; keeps the Dice of next to nothing from jumping
LOG_OF_ZERO = -4.0  # stands for log 0 in the reverse cross-entropy, as in its paper


class Loss(nn.Module):
    """``(1 - w) * cross-entropy + w * Dice``, and late in training what the recipe names in place of one of them.

    Dice is soft, per class over the batch, over the classes present in it. The other two share the rest of the weight
    as they are: Lovasz takes the place of Dice, focal that of cross-entropy.
    """

    def __init__(self, recipe: Recipe, total: Callable[[torch.Tensor], torch.Tensor] = lambda sums: sums) -> None:
        """Args: total: adds up sums over all processes that train together, for a Dice of the whole batch."""
        super().__init__()
        self._total = total
        self._weight, self._reverse_ce_weight = recipe.dice_weight, recipe.reverse_ce_weight
        self._finetune_loss, self._finetune_start = recipe.finetune_loss, recipe.finetune_start * recipe.epochs
        self._bce = nn.BCEWithLogitsLoss()
        self._focal = smp.losses.FocalLoss(mode="multilabel", gamma=2.0)

    def forward(self, logits: torch.Tensor, masks: torch.Tensor, epoch: int) -> torch.Tensor:
        """Scalar loss.

        Args:
            logits: float32 ``[N, 4, H, W]``.
            masks: float32 of the same shape, 0 and 1.
            epoch: from 1.
        """
        late = self._finetune_loss if epoch > self._finetune_start else "none"
        pixels = self._focal(logits, masks) if late == "focal" else self._bce(logits, masks)
        regions = lovasz(logits, masks, late) if "lovasz" in late else dice(logits, masks, self._total)
        loss = (1 - self._weight) * pixels + self._weight * regions
        return (
            loss + self._reverse_ce_weight * reverse_cross_entropy(logits, masks) if self._reverse_ce_weight else loss
        )


def dice(logits: torch.Tensor, masks: torch.Tensor, summed: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Soft Dice loss per class over the whole batch, 0 for a class that the batch lacks; the mean over the classes."""
    probability, axes = torch.sigmoid(logits), (0, 2, 3)
    sums = torch.stack([(probability * masks).sum(axes), probability.sum(axes), masks.sum(axes)])
    overlap, total, truth = summed(sums)
    score = (overlap + SMOOTH) / ((total + truth) / 2 + SMOOTH)
    return ((1 - score) * (truth > 0)).mean()


def reverse_cross_entropy(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the roles of prediction and label exchanged: a wrong label costs a bounded amount.

    Added to the plain one it makes the symmetric cross-entropy (Wang et al., "Symmetric Cross Entropy for Robust
    Learning with Noisy Labels", ICCV 2019, eq. 6, with log 0 = -4). For labels of 0 and 1 it comes to
    ``4 * |p - label|``.
    """
    return -LOG_OF_ZERO * (torch.sigmoid(logits) - masks).abs().mean()


def lovasz(logits: torch.Tensor, masks: torch.Tensor, kind: str) -> torch.Tensor:
    """Lovasz hinge (Berman et al., CVPR 2018, alg. 1), per class and strip, over the classes that the batch has.

    ``symmetric-lovasz`` is the mean of that and of the hinge of what is not the class, against what is not its mask:
    pixels beyond a loosely drawn border then weigh as much as those within it.
    """
    occurs = masks.amax(dim=(0, 2, 3)) > 0
    if not occurs.any():
        return logits.sum() * 0
    logits, masks = logits[:, occurs], masks[:, occurs]
    hinge = _hinge(logits, masks)
    return (hinge + _hinge(-logits, 1 - masks)) / 2 if kind == "symmetric-lovasz" else hinge


def _hinge(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mean over strips and classes; all are sorted in one go, which smp's loop over strips does one by one."""
    logits, masks = logits.flatten(2).flatten(0, 1), masks.flatten(2).flatten(0, 1)
    errors = 1 - logits * (2 * masks - 1)
    ordered, order = torch.sort(errors, dim=1, descending=True)
    truth = masks.gather(1, order)
    left = truth.sum(dim=1, keepdim=True) - truth.cumsum(dim=1)
    union = truth.sum(dim=1, keepdim=True) + (1 - truth).cumsum(dim=1)
    jaccard = 1 - left / union
    steps = torch.cat((jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]), dim=1)
    return (F.relu(ordered) * steps).sum(dim=1).mean()
