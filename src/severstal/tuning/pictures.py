"""A class's tuned grid as a picture and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # no window: it runs on servers
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from severstal.postprocess.expected_dice import CALIBRATION_LEVELS, MIN_EXPECTED_DICE
from severstal.postprocess.tuned_values import Rule
from severstal.tuning import selection
from severstal.tuning.component_tree import AREAS, HIGH_THRESHOLDS, THRESHOLDS
from severstal.tuning.selection import Blocks

WHAT = {
    "component_area": "minimum area of a component (px, log scale)",
    "mask_area": "minimum pixels of the mask (log scale)",
    "dual_threshold": "minimum pixels (log scale)",
    "expected_dice": "least promised Dice (of 255)",
}
AREA_TICKS = (0, 25, 100, 300, 1000, 3000, 10_000, 20_000)


@dataclass(frozen=True)
class Grid:
    """Mean Dice over all strips by threshold and what a mask must have, and what was taken of it.

    Attributes:
        dice: ``float64 [thresholds, smallest]``.
        smallest: minimum areas, or the least promised Dice, of the columns.
    """

    dice: np.ndarray
    plateau: np.ndarray
    thresholds: np.ndarray
    smallest: np.ndarray
    rule: Rule


def grid_of(blocks: Blocks, rule: Rule) -> Grid:
    """The grid of the chosen rule; of a triplet, the plane of the chosen gate."""
    sums = blocks.sums[rule.name]
    dice, plateau = sums.sum(axis=0) / blocks.counts.sum(), selection.plateau(sums, blocks.counts)
    if rule.name == "dual_threshold":
        high_threshold = selection.cell_of(rule)[0]
        return Grid(dice[high_threshold].T, plateau[high_threshold].T, HIGH_THRESHOLDS, AREAS, rule)
    if rule.name == "expected_dice":
        return Grid(dice, plateau, CALIBRATION_LEVELS, MIN_EXPECTED_DICE, rule)
    return Grid(dice, plateau, THRESHOLDS, AREAS, rule)


def write_table(path: Path, grid: Grid) -> None:
    """CSV: a row per threshold (of 255), a column per minimum area (px) or least promised Dice (of 255)."""
    frame = pd.DataFrame(grid.dice, index=pd.Index(grid.thresholds, name="threshold"), columns=grid.smallest)
    frame.to_csv(path, float_format="%.6f")


def draw(path: Path, grid: Grid, title: str) -> None:
    """PNG: Dice by threshold and what a mask must have, the plateau's outline, the peak and the chosen cell."""
    figure, axes = plt.subplots(figsize=(9, 5.4), layout="constrained")
    columns, smallest = np.arange(len(grid.smallest)), grid.smallest
    # Below the 5th percentile of scores nothing is worth telling apart; the colours go to the top.
    low, high = np.percentile(grid.dice, 5), grid.dice.max()
    mesh = axes.pcolormesh(
        grid.thresholds, columns, grid.dice.T, vmin=low, vmax=max(high, low + 1e-6), cmap="viridis", shading="nearest"
    )
    figure.colorbar(mesh, ax=axes, label="mean Dice", extend="min", pad=0.01)
    if grid.plateau.any() and not grid.plateau.all():
        axes.contour(
            grid.thresholds, columns, grid.plateau.T.astype(float), levels=[0.5], colors="white", linewidths=1.4
        )
    row, column = np.unravel_index(grid.dice.argmax(), grid.dice.shape)
    axes.plot(grid.thresholds[row], column, "x", color="white", markersize=9, label=f"best, {high:.4f}")
    rule = grid.rule
    chosen = (int(np.searchsorted(grid.thresholds, rule.threshold)), int(np.searchsorted(smallest, rule.smallest)))
    axes.plot(
        rule.threshold,
        chosen[1],
        "o",
        color="#ff5a36",
        markeredgecolor="white",
        markersize=11,
        label=f"taken, {grid.dice[chosen]:.4f}",
    )
    axes.plot([], [], color="white", linewidth=1.4, label="within one standard error of the best")
    axes.set_title(f"{title}: {rule}", loc="left", fontsize=11)
    label(axes, smallest, rule.name, WHAT[rule.name], AREA_TICKS)
    axes.legend(loc="lower left", fontsize=9, facecolor="#333333", labelcolor="white", framealpha=0.85)
    figure.savefig(path, dpi=110, format="png")
    plt.close(figure)


def label(axes: Axes, smallest: np.ndarray, rule: str, what: str, ticks: tuple[int, ...]) -> None:
    """Name both axes of a rule's grid, of which a column lies at each whole number.

    Args:
        smallest: the columns' values.
        what: they are, unless promised Dice, and ``ticks``: which of them are written.
    """
    expected = rule == "expected_dice"
    axes.set_xlabel("level that is worth one half (of 255)" if expected else "threshold (of 255)")
    axes.set_ylabel(WHAT[rule] if expected else what)
    axes.set_yticks([int(np.searchsorted(smallest, one)) for one in (range(0, 241, 40) if expected else ticks)])
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: f"{smallest[int(np.clip(round(y), 0, len(smallest) - 1))]:,}")
    )
