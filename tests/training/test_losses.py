"""Losses against reference implementations, and when the loss of the last epochs replaces the first one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.experiments import TINY
from torch.nn import functional as F

from severstal import recipe
from severstal.models.libraries import smp
from severstal.recipe import Recipe
from severstal.training.losses import SegmentationLoss, lovasz_hinge, reverse_cross_entropy


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(3, 4, 12, 20, generator=torch.Generator().manual_seed(0)) * 3


@pytest.fixture
def masks() -> torch.Tensor:
    drawn = torch.rand(3, 4, 12, 20, generator=torch.Generator().manual_seed(1)) < 0.3
    drawn[:, 3] = False  # a class that the batch lacks
    return drawn.float()


def values(**changes) -> Recipe:
    return recipe.build({"name": "tiny"} | TINY | {"epochs": 4} | changes)


def alone(values: torch.Tensor) -> torch.Tensor:
    """The sum over all processes where there is one."""
    return values


def test_by_default_the_loss_is_cross_entropy_and_dice(logits, masks) -> None:
    dice = smp.losses.DiceLoss(mode="multilabel", smooth=1.0)(logits, masks)
    expected = 0.5 * F.binary_cross_entropy_with_logits(logits, masks) + 0.5 * dice
    for epoch in (1, 4):
        assert float(SegmentationLoss(values())(logits, masks, epoch)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", ["lovasz", "symmetric-lovasz", "focal"])
def test_the_finetune_loss_replaces_its_part_after_its_share_of_the_epochs(logits, masks, kind) -> None:
    plain, changed = SegmentationLoss(values()), SegmentationLoss(values(finetune_loss=kind, finetune_start=0.5))
    for epoch in (1, 2):
        assert torch.equal(changed(logits, masks, epoch), plain(logits, masks, epoch))
    dice = smp.losses.DiceLoss(mode="multilabel", smooth=1.0)(logits, masks)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, masks)
    expected = {
        "lovasz": (cross_entropy + lovasz_hinge(logits, masks, alone, symmetric=False)) / 2,
        "symmetric-lovasz": (cross_entropy + lovasz_hinge(logits, masks, alone, symmetric=True)) / 2,
        "focal": (smp.losses.FocalLoss(mode="multilabel", gamma=2.0)(logits, masks) + dice) / 2,
    }[kind]
    assert float(changed(logits, masks, 3)) == pytest.approx(float(expected), rel=1e-5)


def test_reverse_cross_entropy_is_added_with_its_weight(logits, masks) -> None:
    plain, with_reverse = SegmentationLoss(values()), SegmentationLoss(values(reverse_ce_weight=0.3))
    added = with_reverse(logits, masks, 1) - plain(logits, masks, 1)
    assert float(added) == pytest.approx(0.3 * float(reverse_cross_entropy(logits, masks)), rel=1e-4)


def test_dice_is_that_of_the_batch_of_all_processes(logits, masks) -> None:
    """Two processes with equal sums have the Dice of one with both batches."""
    together = SegmentationLoss(values())(logits.repeat(2, 1, 1, 1), masks.repeat(2, 1, 1, 1), 1)
    of_one = SegmentationLoss(values(), all_reduce=lambda sums: sums * 2)(logits, masks, 1)
    assert float(of_one) == pytest.approx(float(together), rel=1e-5)


def test_lovasz_is_that_of_the_batch_of_all_processes(logits, masks) -> None:
    """It is the mean of two processes' losses; neither has class 4, and one of them lacks class 1."""
    others, drawn = logits.flip(0) + 1, masks.clone()
    drawn[:, 0] = False
    parts, occurring = ((logits, drawn), (others, masks)), drawn.amax((0, 2, 3)) + masks.amax((0, 2, 3))
    losses = [lovasz_hinge(*part, lambda _: occurring, symmetric=True) for part in parts]
    together = lovasz_hinge(torch.cat([logits, others]), torch.cat([drawn, masks]), alone, symmetric=True)
    assert float(sum(losses)) / 2 == pytest.approx(float(together), rel=1e-5)


def test_lovasz_equals_a_loop_over_strips_and_classes(logits, masks) -> None:
    reference = smp.losses.LovaszLoss(mode="binary", per_image=True)
    hinge = np.mean([float(reference(logits[:, c : c + 1], masks[:, c : c + 1])) for c in range(3)])
    assert float(lovasz_hinge(logits, masks, alone, symmetric=False)) == pytest.approx(hinge, rel=1e-5)
    inverse = np.mean([float(reference(-logits[:, c : c + 1], 1 - masks[:, c : c + 1])) for c in range(3)])
    assert float(lovasz_hinge(logits, masks, alone, symmetric=True)) == pytest.approx((hinge + inverse) / 2, rel=1e-5)


def test_lovasz_of_a_batch_without_defects_is_zero_and_can_be_differentiated(logits) -> None:
    logits.requires_grad_()
    loss = lovasz_hinge(logits, torch.zeros_like(logits), alone, symmetric=False)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not logits.grad.any()


def test_reverse_cross_entropy_is_that_of_its_paper_and_bounded(logits, masks) -> None:
    p = torch.sigmoid(logits)
    log = {0.0: -4.0, 1.0: 0.0}
    of_labels = torch.stack([torch.tensor([log[float(v)] for v in plane.flatten()]) for plane in (masks, 1 - masks)])
    expected = -(p.flatten() * of_labels[0] + (1 - p).flatten() * of_labels[1]).mean()
    assert float(reverse_cross_entropy(logits, masks)) == pytest.approx(float(expected), rel=1e-5)
    assert float(reverse_cross_entropy(torch.full((1, 4, 2, 2), 50.0), torch.zeros(1, 4, 2, 2))) == 4
