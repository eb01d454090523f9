"""The report's charts as SVG, in colours that the page's stylesheet sets.

Matplotlib draws them, which tuning needs anyway: a chart is 10 to 60 KB of static SVG that any browser shows and prints
without a script. A JavaScript library for charts would add one to five MB to every page.
"""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib

matplotlib.use("agg")
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from severstal.data.labels import CLASSES
from severstal.inference.outlines import COLOURS
from severstal.postprocess.rules import Rule
from severstal.postprocess.tuned_values import SCORE_KEYS
from severstal.report.calibration import BINS
from severstal.report.error_analysis import CAUSES
from severstal.report.scores import LABELS
from severstal.tuning import pictures

# Placeholders that are replaced by CSS variables, so that the charts follow the light or dark scheme.
INK, SOFT, GRID, ACCENT, PAPER = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
VARIABLES = {INK: "var(--ink)", SOFT: "var(--soft)", GRID: "var(--rule)", ACCENT: "var(--accent)", PAPER: "var(--card)"}
ENCODER_COLOURS = ("#3f8fe0", "#e69f00", "#009e73", "#d5346b", "#8f6bd8", "#7a7f87")
CAUSE_COLOURS = {"missed": "#d5346b", "false_positives": "#e69f00", "inexact_outlines": "#3f8fe0"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": GRID,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
MAX_SCALE = 1.2  # times the natural size, on a wide page
WIDTH, HEIGHT = 4.4, 3.0  # inches of 96 px: two charts stand side by side, and one fits a phone unscaled


def scores(facts: dict[str, Any]) -> str:
    """Dice by class: nothing predicted, fixed threshold and nested, with the interval of the nested score."""
    series = (("all_empty", "|", SOFT), ("default", "o", SOFT), ("nested", "o", ACCENT))
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDTH, HEIGHT)
        for row, key in enumerate(SCORE_KEYS):
            low, high = facts["intervals"]["nested"][key]
            axes.plot([low, high], [row, row], color=ACCENT, linewidth=7, alpha=0.3, solid_capstyle="round")
        for name, marker, colour in series:
            values = [facts["scores"][name][key] for key in SCORE_KEYS]
            fill, size = ("none", 7) if name == "default" else (colour, 9)
            style: dict[str, Any] = {
                "color": colour,
                "markerfacecolor": fill,
                "markersize": size,
                "label": LABELS[name],
            }
            axes.plot(values, range(len(SCORE_KEYS)), marker, **style)
        _name_rows(axes, ["mean", *_class_names()])
        axes.set_xlim(None, 1.03)
        axes.set_xlabel("Dice")
        _legend(axes, 3)
        return _svg(figure, "scores")


def lost_dice(facts: dict[str, Any]) -> str:
    """Points of Dice that each class loses, by cause."""
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDTH, HEIGHT)
        left = np.zeros(len(CLASSES))
        for cause, label in CAUSES.items():
            rows = facts["errors"]["classes"].values()
            points = np.array([100 * row["lost_dice"][cause] for row in rows])
            axes.barh(range(len(CLASSES)), points, left=left, height=0.55, color=CAUSE_COLOURS[cause], label=label)
            left += points
        _name_rows(axes, _class_names())
        axes.set_xlabel("points of Dice lost (of 100)")
        _legend(axes, 3)
        return _svg(figure, "lost-dice")


def reliability(facts: dict[str, Any]) -> str:
    """Reliability diagram: predicted probability against the share of positive pixels, a line per class."""
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDTH, HEIGHT * 1.1)
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, dashes=(4, 4))
        for defect in CLASSES:
            bins = facts["calibration"][str(defect)]["bins"]
            if len(bins) > 1:
                x, y = ([row[name] for row in bins] for name in ("mean_probability", "positive_share"))
                axes.plot(x, y, "o-", color=COLOURS[defect], markersize=4.5, label=f"class {defect}")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="share of pixels that show the class")
        axes.set_xticks(np.linspace(0, 1, BINS // 2 + 1))
        _legend(axes, 4)
        return _svg(figure, "reliability")


def training(facts: dict[str, Any], value: str, label: str) -> str:
    """``loss`` or ``dice`` per epoch: a line per network, a colour per encoder, a dot at the best Dice."""
    encoders = facts["run"]["encoders"]
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDTH, HEIGHT)
        for row in facts["training"]:
            colour = ENCODER_COLOURS[encoders.index(row["encoder"]) % len(ENCODER_COLOURS)]
            name = row["encoder"] if row["fold"] == 0 else None
            epochs = np.arange(1, row["epochs"] + 1)
            marker = "o" if len(epochs) < 3 else None
            axes.plot(epochs, row[value], marker=marker, color=colour, linewidth=1.6, alpha=0.85, label=name)
            if value == "dice":
                axes.plot(row["best_epoch"], row["best_dice"], "o", color=colour, markersize=5)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(axes, 2 if max(map(len, encoders)) < 22 else 1)
        return _svg(figure, f"training-{value}")


def grid(frame: pd.DataFrame, rule: Rule, cells: dict[str, dict[str, Any]], name: str) -> str:
    """A class's tuned grid: mean Dice by the two axes of its rule, with the best and the chosen cell.

    Args:
        frame: of :func:`severstal.report.tuned_grid.read_grid`.
        cells: of :func:`severstal.report.tuned_grid.grid_cells`.
        name: of the chart, for the ids in its SVG.
    """
    dice = frame.to_numpy()
    horizontal, vertical = rule.horizontal(), rule.vertical()
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDTH, HEIGHT)
        # Below the 5th percentile all cells share a colour. A flat grid has the best colour everywhere.
        low, high = min(np.percentile(dice, 5), dice.max() - 0.01), dice.max()
        colours = {"vmin": low, "vmax": high, "cmap": "viridis", "shading": "nearest", "rasterized": True}
        mesh = axes.pcolormesh(frame.index, np.arange(dice.shape[1]), dice.T, **colours)
        bar = figure.colorbar(mesh, ax=axes, extend="min", pad=0.02, aspect=30, format="%.3f")
        bar.outline.set_visible(False)
        for cell, marker, colour in (("best", "x", "#ffffff"), ("chosen", "o", "#ff5a36")):
            x, y = cells[cell][horizontal.name], vertical.place(cells[cell][vertical.name])
            axes.plot(x, y, marker, color=colour, markeredgecolor="#ffffff", markersize=8, clip_on=False)
        axes.grid(visible=False)
        pictures.label_axes(axes, rule)
        return _svg(figure, name)


def times(facts: dict[str, Any]) -> str:
    """Minutes of each stage."""
    rows = facts["times"]
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDTH, 0.7 + 0.36 * len(rows))
        axes.barh(range(len(rows)), [row["seconds"] / 60 for row in rows], height=0.55, color=ACCENT)
        _name_rows(axes, [row["stage"] for row in rows])
        axes.set_xlabel("minutes")
        return _svg(figure, "times")


def _class_names() -> list[str]:
    return [f"class {defect}" for defect in CLASSES]


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    return plt.subplots(figsize=(width, height), layout="constrained")


def _name_rows(axes: Axes, names: list[str]) -> None:
    """Name the rows 0, 1, ... of a horizontal chart, from top to bottom."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _legend(axes: Axes, columns: int) -> None:
    """A legend above the axes that starts at the figure's left edge, so that it fits on a phone."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        spacing: dict[str, Any] = {"borderaxespad": 0.2, "handlelength": 1.2, "columnspacing": 1.2}
        axes.figure.legend(handles, labels, loc="outside upper left", ncols=columns, **spacing)


def _svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element for the page: unique ids, colours as CSS variables, a maximum width only."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, dpi=110)
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    width = figure.get_figwidth() * 96 * MAX_SCALE
    text = re.sub(r' width="[\d.]+pt"| height="[\d.]+pt"', "", text, count=2)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    return text.replace("<svg ", f'<svg aria-hidden="true" style="max-width:{width:.0f}px" ', 1)
