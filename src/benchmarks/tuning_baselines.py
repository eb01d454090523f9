"""What people would write to score every threshold and minimum component area of a map, with well-known libraries.

Each function returns the same grid as :class:`severstal.postprocess.rules.ComponentArea`, to the last bit.
"""

from __future__ import annotations

import numpy as np

from severstal.postprocess.components import connected_components
from severstal.postprocess.metric import dice_of_counts
from severstal.postprocess.rules.axes import MIN_AREAS, THRESHOLDS

LEVELS = 256


def higra_tree(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """One component tree by Higra; area and overlap of every node, summed by threshold and minimum area.

    Perret, Chierchia, Cousty, Guimaraes, Kenmochi & Najman, "Higra: Hierarchical Graph Analysis", SoftwareX 10, 2019.
    """
    import higra

    graph = higra.get_8_adjacency_implicit_graph(probability.shape)
    tree, altitudes = higra.component_tree_max_tree(graph, probability)
    first, parents = tree.num_leaves(), tree.parents()
    areas = higra.attribute_area(tree)[first:].astype(np.int64)
    overlaps = higra.accumulate_sequential(tree, truth.ravel().astype(np.float64), higra.Accumulators.sum)[first:]
    levels, above = altitudes[first:].astype(np.int64), altitudes[parents[first:]].astype(np.int64)
    above[-1] = -1  # the root is its own parent
    sums = np.zeros((2, LEVELS + 1, len(MIN_AREAS)), dtype=np.int64)
    bins = np.searchsorted(MIN_AREAS, areas, side="right") - 1
    for of_kind, values in zip(sums, (areas, overlaps.astype(np.int64)), strict=True):
        np.add.at(
            of_kind, (above + 1, bins), values
        )  # a node is a component of the thresholds above its parent's level,
        np.add.at(of_kind, (levels + 1, bins), -values)  # up to its own
    area, overlap = np.cumsum(np.cumsum(sums, axis=1)[:, :, ::-1], axis=2)[:, THRESHOLDS, ::-1]
    return dice_of_counts(overlap, area + np.count_nonzero(truth))


def skimage_area_openings(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """One max-tree by scikit-image, an area opening per minimum area with it, and a histogram of each."""
    from skimage.morphology import area_opening, max_tree

    parent, traverser = max_tree(probability, connectivity=2)
    grid, truth_area = np.empty((len(THRESHOLDS), len(MIN_AREAS))), np.count_nonzero(truth)
    for column, min_area in enumerate(MIN_AREAS):
        opened = area_opening(probability, int(min_area), connectivity=2, parent=parent, tree_traverser=traverser)
        area, overlap = (_from_each_level_up(values) for values in (opened.ravel(), opened[truth]))
        grid[:, column] = dice_of_counts(overlap, area + truth_area)
    return grid


def _from_each_level_up(values: np.ndarray) -> np.ndarray:
    return np.cumsum(np.bincount(values, minlength=LEVELS)[::-1])[::-1][THRESHOLDS]


def opencv_labels(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """One labelling per threshold by OpenCV, and all minimum areas from its statistics."""
    grid, truth_area = np.empty((len(THRESHOLDS), len(MIN_AREAS))), np.count_nonzero(truth)
    for row, threshold in enumerate(THRESHOLDS):
        labels, areas = connected_components(probability >= threshold)
        overlaps = np.bincount(labels[truth], minlength=len(areas))
        kept = areas[1:] >= MIN_AREAS[:, None]
        grid[row] = dice_of_counts((kept * overlaps[1:]).sum(1), (kept * areas[1:]).sum(1) + truth_area)
    return grid
