"""Grids of every rule over the out-of-fold maps: what tuning counts before it chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from severstal.data.labels import CLASSES
from severstal.postprocess.classifier import CANDIDATES, FULL, ClassifierUse
from severstal.postprocess.ensemble_mean import mean_map
from severstal.postprocess.level_counts import Workspace, count_levels
from severstal.postprocess.map_statistics import MapStatistics
from severstal.postprocess.rules import RULES, MaskArea
from severstal.tuning.blocks import Block, EnsembleWeights, Maps, averages, counts_and_folds, over_blocks
from severstal.tuning.component_tree import TreeWorkspace, statistics_of
from severstal.tuning.selection import BlockSums

Key = tuple[EnsembleWeights, int, ClassifierUse]  # what a grid is of: a class is numbered from 0
OfStrip = Callable[[Workspace, Block, str], Iterator[tuple[int, int, MapStatistics]]]


class Grids:
    """Sums over maps of the Dice at every cell of every rule.

    Attributes:
        sums: for each rule, ``float64`` of the shape of its :meth:`~severstal.postprocess.rules.Rule.empty_grid`.
    """

    def __init__(self) -> None:
        self.sums = {rule: rule.empty_grid() for rule in RULES}

    def add(
        self, workspace: TreeWorkspace, probability: np.ndarray, truth: np.ndarray | None, area_weight: int = FULL
    ) -> None:
        """Add one strip and class; see :func:`severstal.tuning.component_tree.statistics_of`."""
        statistics = statistics_of(workspace, probability, truth, area_weight)
        for rule, sums in self.sums.items():
            rule.add_to_grid(statistics, sums)


def grids_of(source: Maps, blocks: list[Block], keys: list[Key], workers: int) -> dict[Key, BlockSums]:
    """The grids of all rules over every strip, for each of the ensemble weights, classes and classifier uses."""

    def of_block(block: Block) -> list[Grids]:
        workspace, grids = TreeWorkspace(source.height, source.width), [Grids() for _ in keys]
        for image in block.images:
            means = averages(source, block.fold, image, (weights for weights, _, _ in keys))
            truth = source.truth(image)
            for (weights, c, use), grid in zip(keys, grids, strict=True):
                maps, class_probabilities = means[weights]
                class_probability = int(class_probabilities[c])
                gated = use.apply(maps[c], class_probability)
                grid.add(workspace, gated, truth.get(c + 1), use.area_weight(class_probability))
        return grids

    by_block = over_blocks(of_block, blocks, workers, "grids")
    counts, folds = counts_and_folds(blocks)
    return {
        key: BlockSums({rule: np.stack([grids[i].sums[rule] for grids in by_block]) for rule in RULES}, counts, folds)
        for i, key in enumerate(keys)
    }


# -- alternatives, compared by the mask-area rule: it needs no components, so all of them fit into one pass ----


def grids_of_ensemble_weights(
    source: Maps, blocks: list[Block], candidates: list[EnsembleWeights], workers: int
) -> np.ndarray:
    """Mask-area grids with each of the ensemble weights, ``float32 [candidates, blocks, 4, 255, 64]``."""

    def of_strip(workspace: Workspace, block: Block, image: str) -> Iterator[tuple[int, int, MapStatistics]]:
        maps, truth = source.maps(block.fold, image), source.truth(image)
        for i, weights in enumerate(candidates):
            mean = mean_map(maps, weights)
            for c, defect in enumerate(CLASSES):
                yield i, c, count_levels(workspace, mean[c], truth.get(defect))

    return _mask_area_grids(source, blocks, len(candidates), of_strip, workers, "ensemble weights")


def grids_of_classifier_uses(source: Maps, blocks: list[Block], weights: EnsembleWeights, workers: int) -> np.ndarray:
    """Mask-area grids with every use of the classifier, ``float32 [uses, blocks, 4, 255, 64]``."""

    def of_strip(workspace: Workspace, block: Block, image: str) -> Iterator[tuple[int, int, MapStatistics]]:
        maps, class_probabilities = averages(source, block.fold, image, [weights])[weights]
        truth = source.truth(image)
        for c, defect in enumerate(CLASSES):
            probability, class_probability = maps[c], int(class_probabilities[c])
            plain = count_levels(workspace, probability, truth.get(defect))
            for i, use in enumerate(CANDIDATES):
                gated = use.apply(probability, class_probability)
                unchanged = gated is probability  # most uses leave most maps as they are
                statistics = plain if unchanged else count_levels(workspace, gated, truth.get(defect))
                yield i, c, replace(statistics, area_weight=use.area_weight(class_probability))

    return _mask_area_grids(source, blocks, len(CANDIDATES), of_strip, workers, "classifier")


def _mask_area_grids(
    source: Maps, blocks: list[Block], alternatives: int, of_strip: OfStrip, workers: int, label: str
) -> np.ndarray:
    """Sums per block of what ``of_strip`` yields (an alternative, a class from 0, the statistics of the map)."""

    def of_block(block: Block) -> np.ndarray:
        workspace = Workspace(source.height, source.width)
        sums = np.zeros((alternatives, len(CLASSES), *MaskArea.empty_grid().shape))
        for image in block.images:
            for i, c, statistics in of_strip(workspace, block, image):
                MaskArea.add_to_grid(statistics, sums[i, c])
        return sums.astype(np.float32)

    return np.stack(over_blocks(of_block, blocks, workers, label), axis=1)
