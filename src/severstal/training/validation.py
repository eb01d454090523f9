"""Validation of a network on the strips that its fold holds out: the competition's metric, and out-of-fold maps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from severstal.data.labels import CLASSES
from severstal.hardware import core_count
from severstal.models.inference_graph import InferenceGraph
from severstal.models.tf32 import without_tf32
from severstal.postprocess.level_counts import Workspace, count_levels
from severstal.postprocess.map_statistics import MapStatistics
from severstal.postprocess.rules import DEFAULT, MaskArea
from severstal.training.crops import StripDataset, unpack_masks
from severstal.training.distributed import Distributed
from severstal.training.loaders import BYTES_PER_PIXEL, usable_num_workers
from severstal.training.strip_loader import StripLoader

SCORING_THREADS = 4  # beside a GPU, which predicts a strip faster than one thread counts its pixels
SCORING_AHEAD = 32  # strips whose maps wait to be counted, 2 MB each

_of_thread = threading.local()


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
    """Score a network on whole strips; sums are added over batches and processes and divided once at the end.

    Pixels are counted in threads while the network predicts the next strips. Sums are added in the order of the strips.
    """
    grids, count = np.stack([MaskArea.empty_grid() for _ in CLASSES]), 0
    num_threads = min(SCORING_THREADS, core_count()) if distributed.device.type == "cuda" else 1
    with ThreadPoolExecutor(num_threads) as threads:
        counted: deque[Future[list[MapStatistics]]] = deque()
        for strips, bit_maps in loader:
            probability, _ = graph(strips.to(distributed.device, non_blocking=True))
            pairs = zip(probability.cpu().numpy(), bit_maps, strict=True)
            counted.extend(threads.submit(_count_strip, *pair) for pair in pairs)
            count += len(strips)
            while len(counted) > SCORING_AHEAD:
                _add(counted.popleft().result(), grids)
        for future in counted:
            _add(future.result(), grids)
    sums = distributed.sum(torch.from_numpy(np.append(grids.ravel(), count))).numpy()
    means = sums[:-1].reshape(grids.shape) / sums[-1]
    return FoldScores(default=means[:, DEFAULT.threshold - 1, 0], tuned=means.max(axis=(1, 2)))


def _count_strip(maps: np.ndarray, bit_map: torch.Tensor) -> list[MapStatistics]:
    """Statistics of each class's map ``uint8 [4, H, W]``; the truth is a bit map ``uint8 [H, W]``."""
    size = tuple(maps.shape[1:])
    workspace: Workspace | None = getattr(_of_thread, "workspace", None)
    if workspace is None or (workspace.height, workspace.width) != size:
        workspace = _of_thread.workspace = Workspace(*size)
    masks = unpack_masks(bit_map[None])[0].numpy()
    return [count_levels(workspace, *pair) for pair in zip(maps, (m if m.any() else None for m in masks), strict=True)]


def _add(statistics: list[MapStatistics], grids: np.ndarray) -> None:
    for of_class, grid in zip(statistics, grids, strict=True):
        MaskArea.add_to_grid(of_class, grid)


@torch.inference_mode()
def predict_out_of_fold(
    graph: InferenceGraph,
    validation_set: StripDataset,
    batch_size: int,
    device: torch.device,
    *,
    num_workers: int = -1,
    num_jobs: int = 1,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the image, map ``uint8 [4, H, W]`` and class probabilities ``uint8 [4]`` of each strip.

    They are computed in float32, not TF32: every engine is compared with them.

    Args:
        num_workers: loader processes; -1 for the default.
        num_jobs: networks that are trained side by side on this machine.
    """
    height, width = validation_set.shape
    usable = usable_num_workers(num_workers, num_jobs, batch_size * height * width * BYTES_PER_PIXEL)
    loader = StripLoader(validation_set, batch_size=batch_size, num_workers=usable)
    images = iter(validation_set.images)
    for strips, _ in tqdm(loader, "out-of-fold", leave=False, disable=None if num_jobs == 1 else True):
        with without_tf32():  # not around the yield, where it would reach the caller
            probability, class_probability = (output.cpu().numpy() for output in graph(strips.to(device)))
        yield from zip(islice(images, len(strips)), probability, class_probability, strict=True)
