"""Grids of the fast code against the plain method: threshold, OpenCV's labels, drop, Dice."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_tuning import grids_of_map

from benchmarks.tuning_baselines import opencv_labels
from severstal.data import rle
from severstal.data.labels import CLASSES, read_labels
from severstal.postprocess.level_counts import Workspace, count_levels
from severstal.postprocess.map_statistics import MapStatistics
from severstal.postprocess.metric import dice
from severstal.postprocess.rules import RULES, ComponentArea, Rule
from severstal.postprocess.rules.axes import Axis
from severstal.tuning.component_tree import TreeWorkspace, statistics_of
from severstal.tuning.grids import Grids


def check(probability: np.ndarray, truth: np.ndarray) -> None:
    """Every cell of the component-area grid, and a sample of cells of each grid against the code of prediction."""
    grids = grids_of_map(probability, truth)
    assert np.array_equal(grids[ComponentArea], opencv_labels(probability, truth))
    rng = np.random.default_rng(0)
    for rule in RULES:
        for _ in range(40):
            cell = tuple(int(rng.integers(n)) for n in grids[rule].shape)
            assert grids[rule][cell] == dice(rule.at(cell).apply(probability, 255), truth), rule.at(cell)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 70), st.integers(1, 90))
def test_grids_of_random_maps_are_exact(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), float(rng.choice([0.4, 1, 3])))
    field = smooth / (smooth.std() + 1e-9) * rng.choice([5, 40, 120]) + rng.choice([-40, 60, 128])
    probability = np.clip(field, 0, 255).astype(np.uint8)
    truth = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 2) > rng.choice([0.1, 9])
    check(probability, truth)


def comb(height: int, width: int) -> np.ndarray:
    """Teeth that only a bright back joins, then bridges of one pixel between them at falling levels."""
    probability = np.zeros((height, width), dtype=np.uint8)
    probability[2:-2, ::3] = 200
    probability[height // 2, 1::3] = np.linspace(20, 199, probability[0, 1::3].size).astype(np.uint8)
    probability[height // 2, 2::3] = 255
    return probability


def spiral(size: int) -> np.ndarray:
    """A path one pixel wide, its level rising along it: the longest paths in the tree."""
    probability = np.zeros((size, size), dtype=np.uint8)
    y, x, dy, dx = 0, 0, 0, 1
    for step in range(size * size):
        probability[y, x] = 1 + step * 254 // (size * size)
        ahead = (y + 2 * dy, x + 2 * dx)
        if not (0 <= y + dy < size and 0 <= x + dx < size) or (
            0 <= ahead[0] < size and 0 <= ahead[1] < size and probability[ahead]
        ):
            dy, dx = dx, -dy
        if not (0 <= y + dy < size and 0 <= x + dx < size) or probability[y + dy, x + dx]:
            break
        y, x = y + dy, x + dx
    return probability


ROWS, COLUMNS = np.indices((48, 72))
FRAMES = np.minimum.reduce([ROWS, 47 - ROWS, COLUMNS, 71 - COLUMNS]) * 10
ADVERSARIAL = {
    "all 255": np.full((48, 72), 255, dtype=np.uint8),
    "all 0": np.zeros((48, 72), dtype=np.uint8),
    "all 1": np.ones((48, 72), dtype=np.uint8),
    "plateaus": (ROWS // 6 * 30 % 251 + COLUMNS // 9 % 3).astype(np.uint8),
    "bridges of one pixel": comb(48, 72),
    "chequers, joined at corners": ((ROWS + COLUMNS) % 2 * 180).astype(np.uint8),
    "touching the border": np.where((ROWS < 3) | (ROWS > 44) | (COLUMNS < 2) | (COLUMNS > 69), 222, 7).astype(np.uint8),
    "frames, bright inside": FRAMES.astype(np.uint8),
    "frames, bright outside": (250 - FRAMES).astype(np.uint8),
    "a spiral": spiral(64),
    "single pixels": ((ROWS % 2 == 0) & (COLUMNS % 2 == 0)).astype(np.uint8) * 99,
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_grids_of_maps_that_are_hard_for_a_tree_are_exact(name: str) -> None:
    probability = ADVERSARIAL[name]
    blobs = cv2.GaussianBlur(np.random.default_rng(3).random(probability.shape), (0, 0), 4) > 0.5
    for truth in (np.zeros_like(blobs), np.ones_like(blobs), blobs):
        check(probability, truth)


def test_areas_beyond_the_largest_minimum_are_kept_by_it() -> None:
    probability = np.zeros((200, 300), dtype=np.uint8)
    probability[10:190, 5:295] = 90  # 52,200 px, the largest minimum is 20,000
    probability[50:60, 50:60] = 200
    truth = np.zeros_like(probability, dtype=bool)
    truth[40:120, 40:200] = True
    check(probability, truth)


def test_grids_of_maps_around_real_masks_are_exact(real_data) -> None:
    labels = read_labels(real_data / "severstal-sample" / "labels.csv", 256, 1600)
    rng = np.random.default_rng(0)
    for defect in CLASSES:
        truth = rle.decode(next(codes[defect] for codes in labels.values() if defect in codes), 256, 1600)
        middle = int(np.flatnonzero(truth.any(axis=0)).mean())
        truth = truth[:, max(0, middle - 150) : middle + 150]
        blurred = cv2.GaussianBlur(np.roll(truth, 3, axis=1).astype(np.float32), (0, 0), 5) * 230
        noise = cv2.GaussianBlur(rng.normal(0, 1, truth.shape).astype(np.float32), (0, 0), 4) * 300
        check(np.clip(blurred + noise - 20, 0, 255).astype(np.uint8), truth)


def test_a_workspace_keeps_nothing_of_the_map_before() -> None:
    workspace, grids = TreeWorkspace(48, 72), Grids()
    expected = np.zeros((255, 64))
    for probability in ADVERSARIAL.values():
        if probability.shape == (48, 72):
            for truth in (ROWS > 20, None):
                grids.add(workspace, probability, truth)
                expected += opencv_labels(probability, np.zeros((48, 72), bool) if truth is None else truth)
    assert np.allclose(grids.sums[ComponentArea], expected, atol=1e-12, rtol=0)


class MaskHeight(Rule):
    """A rule as CONTRIBUTING describes it, which needs more than counts: a mask is kept if it has enough rows."""

    axes = (Axis("threshold", np.array([60, 120, 180]), 60, "threshold"), Axis("min_rows", np.arange(50), 5, "rows"))
    rule: Literal["mask_height"] = "mask_height"
    threshold: int
    min_rows: int

    def mask(self, probability: np.ndarray, area_weight: int) -> np.ndarray:
        above = probability >= self.threshold
        return above if above.any(axis=1).sum() >= self.min_rows else np.zeros_like(above)

    @classmethod
    def add_to_grid(cls, statistics: MapStatistics, grid: np.ndarray) -> None:
        thresholds, min_rows = (axis.values for axis in cls.axes)
        rows = np.array([(statistics.probability >= level).any(axis=1).sum() for level in thresholds])
        kept = rows[:, None] >= min_rows
        grid += np.where(kept, statistics.dice(thresholds)[:, None], statistics.empty_dice)

    def __str__(self) -> str:
        return f"pixels from {self.threshold}/255, masks from {self.min_rows} rows"


def test_a_new_rule_computes_what_it_needs_in_its_own_file() -> None:
    probability, truth = ADVERSARIAL["frames, bright inside"], ROWS > 20
    grid = MaskHeight.empty_grid()
    MaskHeight.add_to_grid(statistics_of(TreeWorkspace(48, 72), probability, truth), grid)
    for cell in np.ndindex(grid.shape):
        assert grid[cell] == dice(MaskHeight.at(cell).apply(probability, 255), truth), MaskHeight.at(cell)
    assert len(np.unique(grid)) > 3, "a grid of one value would prove nothing"


def test_statistics_without_a_tree_refuse_to_count_components() -> None:
    statistics = count_levels(Workspace(3, 4), np.ones((3, 4), dtype=np.uint8), None)
    with pytest.raises(NotImplementedError, match="component_tree"):
        ComponentArea.add_to_grid(statistics, ComponentArea.empty_grid())
