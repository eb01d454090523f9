"""Validation of a network on the strips that its fold holds out: the competition's metric, and out-of-fold maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from severstal.data.labels import CLASSES
from severstal.models.inference_graph import InferenceGraph
from severstal.models.tf32 import without_tf32
from severstal.postprocess.level_counts import Workspace, count_levels
from severstal.postprocess.rules import DEFAULT, MaskArea
from severstal.training.crops import StripDataset, unpack_masks
from severstal.training.distributed import Distributed
from severstal.training.loaders import BYTES_PER_PIXEL, usable_num_workers
from severstal.training.strip_loader import StripLoader


@dataclass(frozen=True)
class FoldScores:
    """Mean Dice of each class over a fold's whole strips, ``float64 [4]`` each.

    Attributes:
        default: at the fixed values of :data:`severstal.postprocess.rules.DEFAULT`.
        tuned: at the threshold and minimum mask area that suit each class best on these strips. Epochs are compared
            by it: at fixed values a network that learned almost nothing, and so predicts no defect, scores higher
            than one that finds the defects but still needs its threshold.
    """

    default: np.ndarray
    tuned: np.ndarray


@torch.inference_mode()
def score_fold(graph: InferenceGraph, loader: DataLoader, distributed: Distributed) -> FoldScores:
    """Score a network on whole strips; sums are added over batches and processes and divided once at the end."""
    grids, count, workspace = np.stack([MaskArea.empty_grid() for _ in CLASSES]), 0, None
    for strips, bit_maps in loader:
        probability, _ = graph(strips.to(distributed.device, non_blocking=True))
        workspace = workspace or Workspace(*bit_maps.shape[1:])
        for maps, masks in zip(probability.cpu().numpy(), unpack_masks(bit_maps).numpy(), strict=True):
            for grid, probability_map, mask in zip(grids, maps, masks, strict=True):
                statistics = count_levels(workspace, probability_map, mask if mask.any() else None)
                MaskArea.add_to_grid(statistics, grid)
        count += len(strips)
    sums = distributed.sum(torch.from_numpy(np.append(grids.ravel(), count))).numpy()
    means = sums[:-1].reshape(grids.shape) / sums[-1]
    return FoldScores(default=means[:, DEFAULT.threshold - 1, 0], tuned=means.max(axis=(1, 2)))


@torch.inference_mode()
def predict_out_of_fold(
    graph: InferenceGraph, validation_set: StripDataset, batch_size: int, device: torch.device, *, show_progress: bool
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the image, map ``uint8 [4, H, W]`` and class probabilities ``uint8 [4]`` of each strip.

    They are computed in float32, not TF32: every engine is compared with them.
    """
    height, width = validation_set.shape
    num_workers = usable_num_workers(-1, 1, batch_size * height * width * BYTES_PER_PIXEL)
    loader = StripLoader(validation_set, batch_size=batch_size, num_workers=num_workers)
    images = iter(validation_set.images)
    for strips, _ in tqdm(loader, "out-of-fold", leave=False, disable=None if show_progress else True):
        with without_tf32():  # not around the yield, where it would reach the caller
            probability, class_probability = (output.cpu().numpy() for output in graph(strips.to(device)))
        yield from zip(islice(images, len(strips)), probability, class_probability, strict=True)
