"""Exact scores of the whole component-area grid of a map, in one pass instead of a labelling per cell.

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

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from severstal.compiler import compiled
from severstal.postprocess.classifier import FULL
from severstal.postprocess.level_counts import LEVELS, Workspace, count_levels
from severstal.postprocess.map_statistics import MapStatistics
from severstal.postprocess.rules.axes import MIN_AREAS

# Neighbours clockwise from the north; those before a pixel in raster order are north-west to north-east and west.
_RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


class TreeWorkspace(Workspace):
    """Buffers of one thread for component trees of maps of one size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        self.order = np.empty(self.size, dtype=np.uint32)
        self.parent = np.empty(self.size, dtype=np.uint32)
        self.counts = np.zeros((self.size, 2), dtype=np.int32)  # area and overlap of each component, at its root
        # Unsigned, as all places of pixels here: numba then checks for no negative ones. A step back wraps around.
        self.around = np.array([dy * self.stride + dx for dy, dx in _RING]).astype(np.uint64)


@dataclass(frozen=True)
class TreeStatistics(MapStatistics):
    """Statistics of the map that lies in ``workspace``, until the next one is loaded there."""

    workspace: TreeWorkspace

    def add_component_dice(self, grid: np.ndarray) -> None:
        """Add the Dice at every (threshold, minimum area of a component) to ``float64 [255, 64]``."""
        space = self.workspace
        _sort(space.field, space.words, self.counts, space.order)
        _add_tree(
            space.field,
            space.truth,
            self.counts,
            space.order,
            space.parent,
            space.counts,
            space.around,
            REPRESENTATIVES,
            area_bins(self.area_weight),
            self.truth_area,
            grid,
        )


def statistics_of(
    workspace: TreeWorkspace, probability: np.ndarray, truth: np.ndarray | None, area_weight: int = FULL
) -> TreeStatistics:
    """Statistics of one map that know its components; arguments are those of :func:`count_levels`."""
    levels = count_levels(workspace, probability, truth, area_weight)
    return TreeStatistics(**vars(levels), workspace=workspace)


@lru_cache(maxsize=32)
def area_bins(area_weight: int) -> np.ndarray:
    """Area -> index of the largest minimum area that keeps it, ``uint8``, if a pixel counts ``area_weight`` 255ths.

    Areas beyond the last entry are in the last entry's bin.
    """
    if not area_weight:
        return np.zeros(2, dtype=np.uint8)
    last = -(-MIN_AREAS[-1] * FULL // area_weight)
    return (np.searchsorted(MIN_AREAS * FULL, np.arange(last + 1) * area_weight, side="right") - 1).astype(np.uint8)


def _representatives() -> np.ndarray:
    """``uint8 [256, 5]``: for each set of neighbours, the number of groups that touch, and a neighbour of each.

    Neighbours that touch were joined when the later of the two was visited: one of them is enough to find their root.
    """
    table = np.zeros((256, 5), dtype=np.uint8)
    for present in range(256):
        left, found = {i for i in range(8) if present >> i & 1}, []
        while left:
            found.append(min(left))
            frontier = {min(left)}
            while frontier:
                left -= frontier
                frontier = {i for i in left for j in frontier if _touch(_RING[i], _RING[j])}
        table[present, 0] = len(found)
        table[present, 1 : 1 + len(found)] = found
    return table


def _touch(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1


REPRESENTATIVES = _representatives()


@compiled()
def _sort(field: np.ndarray, words: np.ndarray, level_counts: np.ndarray, order: np.ndarray) -> None:
    """Put the places of all pixels above 0 into ``order``, brightest first, within a level in raster order."""
    place = np.zeros(LEVELS, np.int64)
    for level in range(LEVELS - 2, 0, -1):
        place[level] = level_counts[level + 1, 0]
    for w in range(words.size):
        if words[w]:
            for p in range(8 * w, 8 * w + 8):
                value = field[p]
                if value:
                    order[place[value]] = p
                    place[value] += 1


@compiled()
def _score(kept: np.ndarray, truth_area: int, row: np.ndarray) -> None:
    """Write the Dice at every minimum area to ``row``: of what is in its bin of ``kept`` and in those above."""
    area, overlap = np.int64(0), np.int64(0)
    for j in range(row.size - 1, -1, -1):
        area += kept[j, 0]
        overlap += kept[j, 1]
        row[j] = 2 * overlap / (area + truth_area) if area + truth_area else 1.0


@compiled(inline="always")
def _root(parent: np.ndarray, p: np.uint64) -> np.uint64:
    """The root of a pixel's set. Others on the way there are hung to their grandparents: paths stay short."""
    above = np.uint64(parent[p])
    while above != p:
        top = np.uint64(parent[above])
        if top == above:
            return above
        parent[p] = top
        p, above = top, np.uint64(parent[top])
    return p


@compiled()
def _add_tree(  # noqa: PLR0915
    field: np.ndarray,
    truth: np.ndarray,
    level_counts: np.ndarray,
    order: np.ndarray,
    parent: np.ndarray,
    counts: np.ndarray,
    around: np.ndarray,
    representatives: np.ndarray,
    area_bin: np.ndarray,
    truth_area: int,
    grid: np.ndarray,
) -> None:
    """Add the Dice at every (threshold, minimum area of a component) to ``grid``, from the brightest level down.

    The loop over pixels is one long function because numba's code for it takes twice as long when the body is split
    into functions, inlined or not (measured: 5 ms and 10 ms for a map with 181,000 pixels above 0).
    """
    areas = grid.shape[1]
    kept = np.zeros((areas, 2), np.int64)  # area and overlap of all components, per bin of their area
    row = np.full(areas, 1.0 if truth_area == 0 else 0.0)
    largest, done = area_bin.size - 1, 0
    n, ne, e, se, s, sw, west, nw = around
    for level in range(LEVELS - 1, 0, -1):
        end = level_counts[level, 0]
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
            _score(kept, truth_area, row)
        for j in range(areas):
            grid[level - 1, j] += row[j]
