"""A network on its fold's own validation strips: the competition's metric, and the out-of-fold maps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from severstal.data.labels import CLASSES
from severstal.models.inference_graph import InferenceGraph
from severstal.postprocess.tuned_values import DEFAULT
from severstal.training.distributed import Distributed
from severstal.training.sampling import WholeStrips, planes
from severstal.tuning.component_tree import AREAS, THRESHOLDS, Workspace, add_mask_area, level_counts

GRID = (len(THRESHOLDS), len(AREAS))


@dataclass(frozen=True)
class FoldScores:
    """Mean Dice of each class over a fold's whole strips, ``float64 [4]`` each.

    Attributes:
        default: at the fixed values of :data:`severstal.postprocess.tuned_values.DEFAULT`.
        tuned: at the threshold and the least number of pixels of a whole mask that suit each class best here.
            Epochs are compared by it: at fixed values a network that learned next to nothing, and so draws
            nothing, beats one that finds the defects but still needs its threshold.
    """

    default: np.ndarray
    tuned: np.ndarray


@torch.inference_mode()
def scores_of_fold(model: InferenceGraph, loader: DataLoader, world: Distributed) -> FoldScores:
    """Score a network on whole strips; sums are added over batches and processes and divided once."""
    grids, strips, workspace = np.zeros((len(CLASSES), *GRID)), 0, None
    for whole, bits in loader:
        probability, _ = model(whole.to(world.device, non_blocking=True))
        workspace = workspace or Workspace(*bits.shape[1:])
        for maps, masks in zip(probability.cpu().numpy(), planes(bits).numpy(), strict=True):
            for grid, one, truth in zip(grids, maps, masks, strict=True):
                add_mask_area(*level_counts(workspace, one, truth if truth.any() else None), grid)
        strips += len(whole)
    counted = torch.from_numpy(np.append(grids.ravel(), strips))
    counted = world.sum(counted).numpy()
    means = counted[:-1].reshape(grids.shape) / counted[-1]
    return FoldScores(default=means[:, DEFAULT.threshold - 1, 0], tuned=means.max(axis=(1, 2)))


@torch.inference_mode()
def predict_out_of_fold(
    model: InferenceGraph, validation: WholeStrips, batch: int, device: torch.device, *, bars: bool = True
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield image, map ``uint8 [4, H, W]`` and presences ``uint8 [4]`` of each strip, made in float32.

    Every engine is held against them.
    """
    loader = DataLoader(validation, batch_size=batch, num_workers=default_workers(1))
    images = iter(validation.images)
    for whole, _ in tqdm(loader, "out-of-fold", leave=False, disable=None if bars else True):
        probability, class_probability = (answer.cpu().numpy() for answer in model(whole.to(device)))
        yield from zip(islice(images, len(whole)), probability, class_probability, strict=True)


def default_workers(processes: int) -> int:
    """Loader processes: one per core that the training leaves free, at most eight per GPU; none where it has one."""
    if torch.get_num_threads() == 1 and not torch.cuda.is_available():
        return 0
    return max(1, min(8, (os.cpu_count() or 1) // processes - 1))
