"""Exact scores of whole grids of post-processing values, one pass per map instead of a labelling per cell.

A map's pixels are visited from the brightest down and joined to their brighter neighbours (union-find over 8
neighbours): after level ``t`` the sets are the connected components of ``probability >= t``. Each carries its
area and its overlap with the truth, and sums of both are kept per bin of area, so that a suffix sum over the
bins gives, for every minimum area at once, what would be left of the mask and how much of it would be right.
This is the component tree (max-tree) of mathematical morphology: Salembier, Oliveras & Garrido, "Antiextensive
connected operators for image and sequence processing", IEEE Transactions on Image Processing 7(4), 1998; built
by union-find as in Najman & Couprie, "Building the component tree in quasi-linear time", ibid. 15(11), 2006.

Compiled by numba: it needs no C compiler where the repository is installed, lets other threads run, and the
plain Python beneath it can be read and debugged.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit

from severstal.postprocess import expected_dice
from severstal.postprocess.classifier import FULL
from severstal.postprocess.expected_dice import LEVELS

THRESHOLDS = np.arange(1, 256)  # of the 8-bit probability: every one there is
AREAS = np.concatenate([[0], np.geomspace(8, 20_000, 63).round().astype(np.int64)])  # px
HIGH_THRESHOLDS = np.arange(8, 256, 8)  # thresholds of the triplet rule, high and low


@lru_cache(maxsize=32)
def area_bins(area_weight: int) -> np.ndarray:
    """Area -> index of the largest minimum area that keeps it, ``uint8``, if a pixel counts ``worth`` 255ths.

    Larger areas than the last are kept by what keeps the last.
    """
    if not area_weight:
        return np.zeros(2, dtype=np.uint8)
    last = -(-AREAS[-1] * FULL // area_weight)
    return (np.searchsorted(AREAS * FULL, np.arange(last + 1) * area_weight, side="right") - 1).astype(np.uint8)


# Neighbours clockwise from the north; those before a pixel in raster order are north-west to north-east and west.
_RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def _representatives() -> np.ndarray:
    """``uint8 [256, 5]``: for each set of neighbours, how many are not connected among themselves, and one of each.

    Neighbours that touch each other were joined when the later of the two was visited: only one is looked up.
    """
    table = np.zeros((256, 5), dtype=np.uint8)
    for present in range(256):
        left, found = {i for i in range(8) if present >> i & 1}, []
        while left:
            found.append(min(left))
            frontier = {min(left)}
            while frontier:
                left -= frontier
                frontier = {
                    i
                    for i in left
                    for j in frontier
                    if max(abs(_RING[i][0] - _RING[j][0]), abs(_RING[i][1] - _RING[j][1])) == 1
                } | {
                    i
                    for i in left
                    for j in frontier
                    if abs(_RING[i][0] - _RING[j][0]) <= 1 and abs(_RING[i][1] - _RING[j][1]) <= 1
                }
        table[present, 0] = len(found)
        table[present, 1 : 1 + len(found)] = found
    return table


REPRESENTATIVES = _representatives()


class Workspace:
    """Buffers of one thread for maps of one size; rows are padded, so that no neighbour lies outside."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.stride = (width + 2 + 7) // 8 * 8
        size = (height + 2) * self.stride
        self.field = np.zeros(size, dtype=np.uint8)
        self.truth = np.zeros(size, dtype=np.uint8)
        self.words = self.field.view(np.uint64)
        self.order = np.empty(size, dtype=np.uint32)
        self.parent = np.empty(size, dtype=np.uint32)
        self.counts = np.zeros((size, 2), dtype=np.int32)  # area and overlap of each component, at its root
        # Unsigned, as all places of pixels here: numba then looks for no negative ones. A step back wraps around.
        self.around = np.array([dy * self.stride + dx for dy, dx in _RING]).astype(np.uint64)


class Grids:
    """Sums over maps of the Dice at every cell of four families of rules.

    * ``component [255, 64]``: threshold, minimum area of a connected component;
    * ``whole [255, 64]``: threshold, minimum number of pixels of the whole mask;
    * ``triplet [31, 64, 31]``: high threshold, minimum number of pixels above it, low threshold;
    * ``promise [24, 64]``: level that is worth one half, least Dice that the mask must promise.
    """

    def __init__(self) -> None:
        self.count = 0
        self.component_area = np.zeros((len(THRESHOLDS), len(AREAS)))
        self.mask_area = np.zeros((len(THRESHOLDS), len(AREAS)))
        self.dual_threshold = np.zeros((len(HIGH_THRESHOLDS), len(AREAS), len(HIGH_THRESHOLDS)))
        self.expected_dice = np.zeros((len(expected_dice.CALIBRATION_LEVELS), len(expected_dice.MIN_EXPECTED_DICE)))

    def add(
        self, workspace: Workspace, probability: np.ndarray, truth: np.ndarray | None, area_weight: int = FULL
    ) -> None:
        """Add one strip and class.

        Args:
            probability: ``uint8 [H, W]``.
            truth: bool ``[H, W]``, or None where the class does not occur.
            worth: by how many 255ths a pixel counts towards an area.
        """
        bins = area_bins(area_weight)
        pixels = _load(workspace, probability, truth)
        made = _sweep(
            workspace.field,
            workspace.words,
            workspace.truth,
            workspace.order,
            workspace.parent,
            workspace.counts,
            workspace.around,
            REPRESENTATIVES,
            bins,
            len(AREAS),
            pixels,
            self.component_area,
        )
        _add_mask_area(made, pixels, bins, self.mask_area)
        _add_dual_threshold(made, pixels, bins, HIGH_THRESHOLDS, self.dual_threshold)
        expected_dice.add(made, pixels, area_weight, self.expected_dice)
        self.count += 1


def level_counts(workspace: Workspace, probability: np.ndarray, truth: np.ndarray | None) -> tuple[np.ndarray, int]:
    """Pixels and right pixels of ``probability >= t``: ``int64 [256, 2]``, and the number of pixels of the truth."""
    pixels = _load(workspace, probability, truth)
    return _cumulated(workspace.field, workspace.words, workspace.truth), pixels


def add_mask_area(counts: np.ndarray, pixels: int, grid: np.ndarray, area_weight: int = FULL) -> None:
    """Add a map's Dice at every cell of the whole-mask rule to ``float64 [255, 64]``, from its level counts."""
    _add_mask_area(counts, pixels, area_bins(area_weight), grid)


def _load(workspace: Workspace, probability: np.ndarray, truth: np.ndarray | None) -> int:
    inner = (workspace.height + 2, workspace.stride)
    window = np.s_[1:-1, 1 : workspace.width + 1]
    workspace.field.reshape(inner)[window] = probability
    if truth is None:
        workspace.truth[:] = 0
        return 0
    workspace.truth.reshape(inner)[window] = truth
    return int(np.count_nonzero(truth))


@njit(nogil=True, cache=True)
def _cumulated(field, words, truth):
    counts = np.zeros((LEVELS, 2), np.int64)
    for w in range(words.size):
        if words[w]:
            for p in range(8 * w, 8 * w + 8):
                counts[field[p], 0] += 1
                counts[field[p], 1] += truth[p]
    counts[0] = 0
    for level in range(LEVELS - 2, 0, -1):
        counts[level] += counts[level + 1]
    return counts


@njit(nogil=True, cache=True)
def _sort(field, words, cumulated, order):
    """Put the places of all pixels above 0 into ``order``, brightest first, within a level in raster order."""
    place = np.zeros(LEVELS, np.int64)
    for level in range(LEVELS - 2, 0, -1):
        place[level] = cumulated[level + 1, 0]
    for w in range(words.size):
        if words[w]:
            for p in range(8 * w, 8 * w + 8):
                value = field[p]
                if value:
                    order[place[value]] = p
                    place[value] += 1


@njit(nogil=True, cache=True)
def _score(kept, pixels, row):
    """Write the Dice at every minimum area to ``row``: of what is in its bin of ``kept`` and in those above."""
    area, overlap = np.int64(0), np.int64(0)
    for j in range(row.size - 1, -1, -1):
        area += kept[j, 0]
        overlap += kept[j, 1]
        row[j] = 2 * overlap / (area + pixels) if area + pixels else 1.0


@njit(nogil=True, cache=True, inline="always")
def _root(parent, p):
    """The root of a pixel's set. Others on the way there are hung to their grandparents: paths stay short."""
    above = np.uint64(parent[p])
    while above != p:
        top = np.uint64(parent[above])
        if top == above:
            return above
        parent[p] = top
        p, above = top, np.uint64(parent[top])
    return p


@njit(nogil=True, cache=True)
def _sweep(field, words, truth, order, parent, counts, around, representatives, area_bin, areas, pixels, grid):
    """Add the Dice of every (threshold, minimum component area) to ``grid``; returns the level counts."""
    cumulated = _cumulated(field, words, truth)
    _sort(field, words, cumulated, order)
    kept = np.zeros((areas, 2), np.int64)  # area and overlap of all components, per bin of their area
    row = np.full(areas, 1.0 if pixels == 0 else 0.0)
    largest, done = area_bin.size - 1, 0
    n, ne, e, se, s, sw, west, nw = around
    for level in range(LEVELS - 1, 0, -1):
        end = cumulated[level, 0]
        if end > done:
            for k in range(done, end):
                p = np.uint64(order[k])
                near = (
                    (field[p + n] >= level)
                    | (field[p + ne] >= level) << 1
                    | (field[p + e] > level) << 2
                    | (field[p + se] > level) << 3
                    | (field[p + s] > level) << 4
                    | (field[p + sw] > level) << 5
                    | (field[p + west] >= level) << 6
                    | (field[p + nw] >= level) << 7
                )
                right = truth[p]
                groups = representatives[near, 0]
                if groups == 0:
                    parent[p] = p
                    counts[p, 0] = 1
                    counts[p, 1] = right
                    kept[area_bin[1], 0] += 1
                    kept[area_bin[1], 1] += right
                    continue
                root = _root(parent, p + around[representatives[near, 1]])
                parent[p] = root
                area, overlap = counts[root, 0], counts[root, 1]
                b = area_bin[min(area, largest)]
                if groups == 1 and area_bin[min(area + 1, largest)] == b:  # so it is with most pixels
                    counts[root, 0] = area + 1
                    counts[root, 1] = overlap + right
                    kept[b, 0] += 1
                    kept[b, 1] += right
                    continue
                kept[b, 0] -= area
                kept[b, 1] -= overlap
                area += 1
                overlap += right
                for i in range(2, groups + 1):
                    other = _root(parent, p + around[representatives[near, i]])
                    if other == root:
                        continue
                    b = area_bin[min(counts[other, 0], largest)]
                    kept[b, 0] -= counts[other, 0]
                    kept[b, 1] -= counts[other, 1]
                    if counts[other, 0] > area:  # the larger set stays the root: paths stay short
                        root, other = other, root
                        area += counts[root, 0]
                        overlap += counts[root, 1]
                    else:
                        area += counts[other, 0]
                        overlap += counts[other, 1]
                    parent[other] = root
                counts[root, 0] = area
                counts[root, 1] = overlap
                b = area_bin[min(area, largest)]
                kept[b, 0] += area
                kept[b, 1] += overlap
            done = end
            _score(kept, pixels, row)
        for j in range(areas):
            grid[level - 1, j] += row[j]
    return cumulated


@njit(nogil=True, cache=True)
def _add_mask_area(cumulated, pixels, area_bin, grid):
    empty = 1.0 if pixels == 0 else 0.0
    for level in range(1, LEVELS):
        area = cumulated[level, 0]
        full = 2 * cumulated[level, 1] / (area + pixels) if area + pixels else 1.0
        last = area_bin[min(area, area_bin.size - 1)]
        for j in range(last + 1):
            grid[level - 1, j] += full
        for j in range(last + 1, grid.shape[1]):
            grid[level - 1, j] += empty


@njit(nogil=True, cache=True)
def _add_dual_threshold(cumulated, pixels, area_bin, high_thresholds, grid):
    empty = 1.0 if pixels == 0 else 0.0
    full = np.empty(high_thresholds.size)
    for low in range(high_thresholds.size):
        area = cumulated[high_thresholds[low], 0]
        full[low] = 2 * cumulated[high_thresholds[low], 1] / (area + pixels) if area + pixels else 1.0
    for high in range(high_thresholds.size):
        last = area_bin[min(cumulated[high_thresholds[high], 0], area_bin.size - 1)]
        for j in range(grid.shape[1]):
            if j <= last:
                for low in range(high_thresholds.size):
                    grid[high, j, low] += full[low]
            else:
                for low in range(high_thresholds.size):
                    grid[high, j, low] += empty
