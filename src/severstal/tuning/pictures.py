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

from severstal.postprocess.rules import Rule
from severstal.tuning import selection
from severstal.tuning.selection import BlockSums


@dataclass(frozen=True)
class Grid:
    """The plane of a rule's grid that a picture shows.

    Attributes:
        rule: what was chosen from it.
        dice: mean Dice over all strips, ``float64 [horizontal, vertical]`` by the rule's picture axes.
        plateau: cells within one standard error of the best, bool of the same shape.
    """

    rule: Rule
    dice: np.ndarray
    plateau: np.ndarray


def grid_of(blocks: BlockSums, rule: Rule) -> Grid:
    """The grid of the chosen rule; where it has more than two axes, the plane of the chosen values."""
    sums = blocks.sums[type(rule)]
    dice, plateau = sums.sum(axis=0) / blocks.counts.sum(), selection.plateau(sums, blocks.counts)
    return Grid(rule, rule.plane(dice), rule.plane(plateau))


def write_table(path: Path, grid: Grid) -> None:
    """CSV: a row per value of the rule's horizontal axis, which names the first column, a column per vertical value."""
    horizontal, vertical = grid.rule.horizontal(), grid.rule.vertical()
    frame = pd.DataFrame(grid.dice, index=pd.Index(horizontal.values, name=horizontal.name), columns=vertical.values)
    frame.to_csv(path, float_format="%.6f")


def draw(path: Path, grid: Grid, title: str) -> None:
    """PNG: mean Dice by the rule's two axes, the plateau's outline, the peak and the chosen cell."""
    figure, axes = plt.subplots(figsize=(9, 5.4), layout="constrained")
    horizontal, rows = grid.rule.horizontal().values, np.arange(grid.dice.shape[1])
    # Scores below the 5th percentile need no colours of their own.
    low, high = np.percentile(grid.dice, 5), grid.dice.max()
    mesh = axes.pcolormesh(
        horizontal, rows, grid.dice.T, vmin=low, vmax=max(high, low + 1e-6), cmap="viridis", shading="nearest"
    )
    figure.colorbar(mesh, ax=axes, label="mean Dice", extend="min", pad=0.01)
    if grid.plateau.any() and not grid.plateau.all():
        axes.contour(horizontal, rows, grid.plateau.T.astype(float), levels=[0.5], colors="white", linewidths=1.4)
    _mark_cells(axes, grid)
    axes.plot([], [], color="white", linewidth=1.4, label="within one standard error of the best")
    axes.set_title(f"{title}: {grid.rule}", loc="left", fontsize=11)
    label_axes(axes, grid.rule)
    axes.legend(loc="lower left", fontsize=9, facecolor="#333333", labelcolor="white", framealpha=0.85)
    figure.savefig(path, dpi=110, format="png")
    plt.close(figure)


def _mark_cells(axes: Axes, grid: Grid) -> None:
    """A cross at the best cell, a dot at the chosen one."""
    horizontal, vertical = grid.rule.horizontal(), grid.rule.vertical()
    column, row = np.unravel_index(grid.dice.argmax(), grid.dice.shape)
    best = f"best, {grid.dice.max():.4f}"
    axes.plot(horizontal.values[column], row, "x", color="white", markersize=9, label=best)
    cell = horizontal.place(getattr(grid.rule, horizontal.name)), vertical.place(getattr(grid.rule, vertical.name))
    chosen = f"chosen, {grid.dice[cell]:.4f}"
    x, y = horizontal.values[cell[0]], cell[1]
    axes.plot(x, y, "o", color="#ff5a36", markeredgecolor="white", markersize=11, label=chosen)


def label_axes(axes: Axes, rule: Rule) -> None:
    """Name both axes of a rule's grid, of which a vertical value lies at each whole number."""
    vertical = rule.vertical()
    axes.set_xlabel(rule.horizontal().label)
    axes.set_ylabel(vertical.label)
    if vertical.ticks:
        axes.set_yticks([vertical.place(tick) for tick in vertical.ticks])
    last = len(vertical.values) - 1
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{vertical.values[int(np.clip(round(y), 0, last))]:,}"))
