"""A network on its fold's own validation strips: the competition's metric, and the out-of-fold maps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from severstal.graph import WholeModel
from severstal.labels import CLASSES
from severstal.metric import dice_of_counts
from severstal.postprocess import DEFAULT
from severstal.samples import WholeStrips, planes
from severstal.world import World


@torch.inference_mode()
def dice_of_fold(model: WholeModel, loader: DataLoader, world: World) -> np.ndarray:
    """Mean Dice of each class over the fold's whole strips, at fixed values, ``float64 [4]``.

    Sums over strips are added over batches and processes and divided once: no mean of batch means.
    """
    sums = np.zeros(len(CLASSES) + 1)
    for whole, bits in loader:
        probability, _ = model(whole.to(world.device, non_blocking=True))
        predicted, truth = probability >= DEFAULT.threshold, planes(bits.to(world.device))
        overlap = (predicted & truth).sum((2, 3)).cpu().numpy()
        total = (predicted.sum((2, 3)) + truth.sum((2, 3))).cpu().numpy()
        sums[:-1] += dice_of_counts(overlap, total).sum(axis=0)
        sums[-1] += len(whole)
    sums = world.sum(torch.from_numpy(sums)).numpy()
    return sums[:-1] / sums[-1]


@torch.inference_mode()
def out_of_fold(
    model: WholeModel, validation: WholeStrips, batch: int, device: torch.device
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield ``(image, uint8 [4, H, W])`` for each strip, in float32: what every engine is held against."""
    loader = DataLoader(validation, batch_size=batch, num_workers=default_workers(1))
    images = iter(validation.images)
    for whole, _ in tqdm(loader, "out-of-fold", leave=False, disable=None):
        probability, _ = model(whole.to(device))
        yield from zip(islice(images, len(whole)), probability.cpu().numpy(), strict=True)


def default_workers(processes: int) -> int:
    """Loader processes: one per core that the training leaves free, at most eight per GPU."""
    return max(1, min(8, (os.cpu_count() or 1) // processes - 1))
