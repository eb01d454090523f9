"""Losses on logits, each over the whole batch: cross-entropy and Dice, and alternatives from winning solutions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from severstal.models.libraries import smp
from severstal.recipe import Recipe

SMOOTH = 1.0  # pixels; keeps the Dice of a class with few pixels from jumping
LOG_ZERO = -4.0  # stands for log 0 in the reverse cross-entropy, as in its paper

Reduce = Callable[[torch.Tensor], torch.Tensor]


class SegmentationLoss(nn.Module):
    """``(1 - w) * cross-entropy + w * Dice``, with one of the two replaced in the last epochs if the recipe says so.

    ``finetune_loss`` replaces Dice by a Lovasz hinge, or cross-entropy by the focal loss; the weights stay.
    """

    def __init__(self, recipe: Recipe, all_reduce: Reduce = lambda sums: sums) -> None:
        """Args: all_reduce: sums a tensor over all processes, so that Dice and Lovasz are those of the whole batch."""
        super().__init__()
        self._all_reduce = all_reduce
        self._dice_weight, self._reverse_ce_weight = recipe.dice_weight, recipe.reverse_ce_weight
        self._finetune_loss, self._finetune_start = recipe.finetune_loss, recipe.finetune_start * recipe.epochs
        self._bce = nn.BCEWithLogitsLoss()
        self._focal = smp.losses.FocalLoss(mode="multilabel", gamma=2.0)

    def forward(self, logits: torch.Tensor, masks: torch.Tensor, epoch: int) -> torch.Tensor:
        """Scalar loss.

        Args:
            logits: ``float32 [N, 4, H, W]``.
            masks: ``float32 [N, 4, H, W]``, 0 to 1: the share of the pixel that shows the class.
            epoch: from 1.
        """
        kind = self._finetune_loss if epoch > self._finetune_start else "none"
        pixel_loss = self._focal(logits, masks) if kind == "focal" else self._bce(logits, masks)
        if kind in ("lovasz", "symmetric-lovasz"):
            region_loss = lovasz_hinge(logits, masks.round(), self._all_reduce, symmetric=kind == "symmetric-lovasz")
        else:
            region_loss = dice_loss(logits, masks, self._all_reduce)
        loss = (1 - self._dice_weight) * pixel_loss + self._dice_weight * region_loss
        if self._reverse_ce_weight:
            loss = loss + self._reverse_ce_weight * reverse_cross_entropy(logits, masks)
        return loss


def dice_loss(logits: torch.Tensor, masks: torch.Tensor, all_reduce: Reduce) -> torch.Tensor:
    """Soft Dice loss of each class over the whole batch, 0 for a class that the batch lacks; the mean of the four."""
    probability, axes = torch.sigmoid(logits), (0, 2, 3)
    sums = torch.stack([(probability * masks).sum(axes), probability.sum(axes), masks.sum(axes)])
    overlap, predicted, labelled = all_reduce(sums)
    dice = (overlap + SMOOTH) / ((predicted + labelled) / 2 + SMOOTH)
    return ((1 - dice) * (labelled > 0)).mean()


def reverse_cross_entropy(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the roles of prediction and label exchanged, so that a wrong label costs a bounded amount.

    Added to the plain one it makes the symmetric cross-entropy (Wang et al., "Symmetric Cross Entropy for Robust
    Learning with Noisy Labels", ICCV 2019, eq. 6, with log 0 = -4). For labels of 0 and 1 it equals
    ``4 * |p - label|``.
    """
    return -LOG_ZERO * (torch.sigmoid(logits) - masks).abs().mean()


def lovasz_hinge(logits: torch.Tensor, masks: torch.Tensor, all_reduce: Reduce, *, symmetric: bool) -> torch.Tensor:
    """Lovasz hinge (Berman et al., CVPR 2018, alg. 1) per class and strip, over the classes that the batch has.

    The batch is that of all processes. Its loss is the mean of theirs, because each has as many strips.

    ``symmetric`` takes the mean of that and of the hinge of the complement, negated logits against inverted masks:
    pixels beyond a loosely drawn border then weigh as much as those within it.
    """
    occurs = all_reduce(masks.amax(dim=(0, 2, 3))) > 0
    if not occurs.any():
        return logits.sum() * 0
    logits, masks = logits[:, occurs], masks[:, occurs]
    hinge = _hinge(logits, masks)
    return (hinge + _hinge(-logits, 1 - masks)) / 2 if symmetric else hinge


def _hinge(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mean over strips and classes, which are all sorted in one call; smp's implementation loops over strips."""
    logits, masks = logits.flatten(2).flatten(0, 1), masks.flatten(2).flatten(0, 1)
    errors = 1 - logits * (2 * masks - 1)
    sorted_errors, order = torch.sort(errors, dim=1, descending=True)
    labels = masks.gather(1, order)
    intersection = labels.sum(dim=1, keepdim=True) - labels.cumsum(dim=1)
    union = labels.sum(dim=1, keepdim=True) + (1 - labels).cumsum(dim=1)
    jaccard = 1 - intersection / union
    steps = torch.cat((jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]), dim=1)
    return (F.relu(sorted_errors) * steps).sum(dim=1).mean()
