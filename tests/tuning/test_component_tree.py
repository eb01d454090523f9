"""The sweep's whole grids against the plain method: threshold, OpenCV's labels, drop, Dice."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_tuning import plain_components, swept

from severstal.data import rle
from severstal.data.labels import read_labels
from severstal.postprocess.metric import dice
from severstal.postprocess.tuned_values import Rule, mask
from severstal.tuning import component_tree
from severstal.tuning.selection import FAMILIES, rule_at


def check(probability: np.ndarray, truth: np.ndarray) -> None:
    """All four grids: components whole, and a draw of cells of each against prediction's own code."""
    grids = swept(probability, truth)
    assert np.array_equal(grids.component_area, plain_components(probability, truth))
    rng = np.random.default_rng(0)
    for family in FAMILIES:
        grid = getattr(grids, family)
        for _ in range(60):
            cell = tuple(int(rng.integers(n)) for n in grid.shape)
            assert grid[cell] == dice(mask(probability, rule_at(family, cell), 255), truth), (family, cell)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 70), st.integers(1, 90))
def test_random_maps(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), float(rng.choice([0.4, 1, 3])))
    field = smooth / (smooth.std() + 1e-9) * rng.choice([5, 40, 120]) + rng.choice([-40, 60, 128])
    probability = np.clip(field, 0, 255).astype(np.uint8)
    truth = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 2) > rng.choice([0.1, 9])
    check(probability, truth)


def comb(height: int, width: int) -> np.ndarray:
    """Teeth that only a bright back joins, then bridges of one pixel between them at falling levels."""
    made = np.zeros((height, width), dtype=np.uint8)
    made[2:-2, ::3] = 200
    made[height // 2, 1::3] = np.linspace(20, 199, made[0, 1::3].size).astype(np.uint8)
    made[height // 2, 2::3] = 255
    return made


def spiral(size: int) -> np.ndarray:
    """One path a pixel wide, its level rising along it: the longest paths in the tree."""
    made = np.zeros((size, size), dtype=np.uint8)
    y, x, dy, dx = 0, 0, 0, 1
    for step in range(size * size):
        made[y, x] = 1 + step * 254 // (size * size)
        ahead = (y + 2 * dy, x + 2 * dx)
        if not (0 <= y + dy < size and 0 <= x + dx < size) or (
            0 <= ahead[0] < size and 0 <= ahead[1] < size and made[ahead]
        ):
            dy, dx = dx, -dy
        if not (0 <= y + dy < size and 0 <= x + dx < size) or made[y + dy, x + dx]:
            break
        y, x = y + dy, x + dx
    return made


ROWS, COLUMNS = np.indices((48, 72))
ADVERSARIAL = {
    "all 255": np.full((48, 72), 255, dtype=np.uint8),
    "all 0": np.zeros((48, 72), dtype=np.uint8),
    "all 1": np.ones((48, 72), dtype=np.uint8),
    "plateaus": (ROWS // 6 * 30 % 251 + COLUMNS // 9 % 3).astype(np.uint8),
    "bridges of one pixel": comb(48, 72),
    "chequers, joined at corners": ((ROWS + COLUMNS) % 2 * 180).astype(np.uint8),
    "touching the border": np.where((ROWS < 3) | (ROWS > 44) | (COLUMNS < 2) | (COLUMNS > 69), 222, 7).astype(np.uint8),
    "nested frames": (np.minimum.reduce([ROWS, 47 - ROWS, COLUMNS, 71 - COLUMNS]) * 10).astype(np.uint8),
    "frames inside out": (250 - np.minimum.reduce([ROWS, 47 - ROWS, COLUMNS, 71 - COLUMNS]) * 10).astype(np.uint8),
    "a spiral": spiral(64),
    "single pixels": ((ROWS % 2 == 0) & (COLUMNS % 2 == 0)).astype(np.uint8) * 99,
}


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("kind", ["empty", "full", "some"])
def test_adversarial_maps(name: str, kind: str) -> None:
    probability = ADVERSARIAL[name]
    rng = np.random.default_rng(3)
    truth = {
        "empty": np.zeros(probability.shape, dtype=bool),
        "full": np.ones(probability.shape, dtype=bool),
        "some": cv2.GaussianBlur(rng.random(probability.shape), (0, 0), 4) > 0.5,
    }[kind]
    check(probability, truth)


def test_areas_beyond_the_last_minimum() -> None:
    probability = np.zeros((200, 300), dtype=np.uint8)
    probability[10:190, 5:295] = 90  # 52,200 px, the last minimum is 20,000
    probability[50:60, 50:60] = 200
    truth = np.zeros_like(probability, dtype=bool)
    truth[40:120, 40:200] = True
    check(probability, truth)


def test_maps_made_from_real_masks(real_data) -> None:
    labels = read_labels(real_data / "severstal-sample" / "labels.csv", 256, 1600)
    rng, done = np.random.default_rng(0), 0
    for codes in list(labels.values())[:: len(labels) // 12]:
        for code in codes.values():
            truth = rle.decode(code, 256, 1600)
            soft = cv2.GaussianBlur(np.roll(truth, 3, axis=1).astype(np.float32), (0, 0), 5) * 230
            noise = cv2.GaussianBlur(rng.normal(0, 1, truth.shape).astype(np.float32), (0, 0), 4) * 300
            check(np.clip(soft + noise - 20, 0, 255).astype(np.uint8), truth)
            done += 1
    assert done >= 12


def test_a_workspace_keeps_nothing_of_the_map_before() -> None:
    workspace, grids = component_tree.Workspace(48, 72), component_tree.Grids()
    alone = np.zeros((255, 64))
    for probability in ADVERSARIAL.values():
        if probability.shape != (48, 72):
            continue
        for truth in (ROWS > 20, None):
            grids.add(workspace, probability, truth)
            alone += plain_components(probability, np.zeros((48, 72), bool) if truth is None else truth)
    assert np.allclose(grids.component_area, alone, atol=1e-12, rtol=0)
    assert grids.count == 20


def test_level_counts_are_pixels_and_right_pixels_from_each_level_up() -> None:
    rng = np.random.default_rng(0)
    probability, truth = rng.integers(0, 256, (20, 33), dtype=np.uint8), rng.random((20, 33)) < 0.3
    counts, pixels = component_tree.level_counts(component_tree.Workspace(20, 33), probability, truth)
    assert pixels == truth.sum()
    for level in (1, 2, 100, 254, 255):
        above = probability >= level
        assert counts[level].tolist() == [above.sum(), (above & truth).sum()]


def test_the_lowest_minimum_keeps_everything() -> None:
    assert component_tree.AREAS[0] == 0
    assert component_tree.AREAS[-1] == 20_000
    assert len(np.unique(component_tree.AREAS)) == len(component_tree.AREAS)
    probability = np.array([[3]], dtype=np.uint8)
    assert swept(probability, np.array([[True]])).component_area[2, 0] == 1
    assert not mask(probability, Rule(threshold=3, min_area=8), 255).any()
