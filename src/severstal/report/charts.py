"""The report's charts as SVG, in colours that the page's stylesheet decides.

Drawn by matplotlib, which tuning needs anyway: a chart is 10 to 60 KB of static SVG that any browser shows and
prints without a script, where a charting script would weigh one to five MB on every page.
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
from severstal.postprocess import rules
from severstal.report.mistakes import BINS
from severstal.tuning import pictures

# Colours that stand for the page's own: they are replaced by CSS variables, so that charts follow light and dark.
INK, SOFT, GRID, ACCENT, PAPER = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
VARIABLES = {INK: "var(--ink)", SOFT: "var(--soft)", GRID: "var(--rule)", ACCENT: "var(--accent)", PAPER: "var(--card)"}
ENCODERS = ("#3f8fe0", "#e69f00", "#009e73", "#d5346b", "#8f6bd8", "#7a7f87")
LOST = {"missed": "#d5346b", "false_alarms": "#e69f00", "inexact": "#3f8fe0"}
STYLE = {
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
LARGEST = 1.2  # times their natural size on a wide page
WIDE, TALL = 4.4, 3.0  # inches; at 96 px an inch two stand side by side, and on a phone one fits unshrunk


def scores(facts: dict[str, Any]) -> str:
    """Per class: all-empty, default and tuned as dots, nested with its interval."""
    keys = [("mean", "Mean"), *((str(defect), f"Class {defect}") for defect in CLASSES)]
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDE, TALL)
        for row, (key, _) in enumerate(keys):
            low, high = facts["intervals"]["nested"][key]
            axes.plot([low, high], [row, row], color=ACCENT, linewidth=7, alpha=0.3, solid_capstyle="round")
        rows = range(len(keys))
        for name, label, marker, colour in (
            ("all_empty", "all empty", "|", SOFT),
            ("default", "fixed 0.5", "o", SOFT),
            ("nested", "nested, 95 %", "o", ACCENT),
        ):
            values = [facts["scores"][name][key] for key, _ in keys]
            fill = "none" if name == "default" else colour
            size = 9 if name != "default" else 7
            axes.plot(values, rows, marker, color=colour, markerfacecolor=fill, markersize=size, label=label)
        axes.set_yticks(rows, [label for _, label in keys])
        axes.set_ylim(len(keys) - 0.5, -0.5)
        axes.set_xlim(None, 1.03)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("Dice")
        _legend(axes, 3)
        return _svg(figure, "scores")


def lost(facts: dict[str, Any]) -> str:
    """Points of Dice lost per class, by cause."""
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDE, TALL)
        left = np.zeros(len(CLASSES))
        for cause, label in (("missed", "missed"), ("false_alarms", "false alarms"), ("inexact", "inexact")):
            values = np.array([100 * facts["mistakes"][str(defect)]["lost"][cause] for defect in CLASSES])
            axes.barh(range(len(CLASSES)), values, left=left, height=0.55, color=LOST[cause], label=label)
            left += values
        axes.set_yticks(range(len(CLASSES)), [f"Class {defect}" for defect in CLASSES])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("points of Dice lost (of 100)")
        _legend(axes, 3)
        return _svg(figure, "lost")


def reliability(facts: dict[str, Any]) -> str:
    """Told probability against the share that was true, a line per class."""
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDE, TALL * 1.1)
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, dashes=(4, 4))
        for defect in CLASSES:
            rows = facts["reliability"][str(defect)]["bins"]
            if len(rows) > 1:
                told, true = [row["told"] for row in rows], [row["true"] for row in rows]
                axes.plot(told, true, "o-", color=COLOURS[defect], markersize=4.5, label=f"class {defect}")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability told", ylabel="share of pixels that were the class")
        axes.set_xticks(np.linspace(0, 1, BINS // 2 + 1))
        _legend(axes, 4)
        return _svg(figure, "reliability")


def training(facts: dict[str, Any], value: str, label: str) -> str:
    """One value per epoch, a line per network, a colour per encoder."""
    encoders = facts["run"]["encoders"]
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDE, TALL)
        for row in facts["training"]:
            number = encoders.index(row["encoder"])
            epochs = np.arange(1, row["epochs"] + 1)
            axes.plot(
                epochs,
                row[value],
                marker="o" if len(epochs) < 3 else None,
                color=ENCODERS[number % len(ENCODERS)],
                linewidth=1.6,
                alpha=0.85,
                label=row["encoder"] if row["fold"] == 0 else None,
            )
            if value == "dice":
                axes.plot(
                    row["best_epoch"], row["best_dice"], "o", color=ENCODERS[number % len(ENCODERS)], markersize=5
                )
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(axes, 2 if max(map(len, encoders)) < 22 else 1)
        return _svg(figure, f"training-{value}")


def grid(frame: pd.DataFrame, facts: dict[str, Any], defect: int) -> str:
    """A class's tuned grid: mean Dice by threshold and what a mask must have, the best cell and the one taken."""
    told, rule = facts["classes"][str(defect)]["grid"], rules.parse(facts["classes"][str(defect)]["rule"])
    dice = frame.to_numpy()
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDE, TALL)
        high = dice.max()
        low = min(np.percentile(dice, 5), high - 0.01)  # a flat grid is all of the best colour
        mesh = axes.pcolormesh(
            frame.index,
            np.arange(dice.shape[1]),
            dice.T,
            vmin=low,
            vmax=high,
            cmap="viridis",
            shading="nearest",
            rasterized=True,
        )
        bar = figure.colorbar(mesh, ax=axes, extend="min", pad=0.02, aspect=30, format="%.3f")
        bar.outline.set_visible(False)
        for name, marker, colour in (("best", "x", "#ffffff"), ("taken", "o", "#ff5a36")):
            where = told[name]
            axes.plot(
                where[rule.horizontal().name],
                rule.vertical().place(where[rule.vertical().name]),
                marker,
                color=colour,
                markeredgecolor="#ffffff",
                markersize=8,
            )
        axes.grid(visible=False)
        pictures.label_axes(axes, rule)
        return _svg(figure, f"grid-{defect}")


def times(facts: dict[str, Any]) -> str:
    """Minutes of each stage."""
    rows = facts["times"]
    with plt.rc_context(STYLE):
        figure, axes = _axes(WIDE, 0.7 + 0.36 * len(rows))
        axes.barh(range(len(rows)), [row["seconds"] / 60 for row in rows], height=0.55, color=ACCENT)
        axes.set_yticks(range(len(rows)), [row["stage"] for row in rows])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("minutes")
        return _svg(figure, "times")


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    return plt.subplots(figsize=(width, height), layout="constrained")


def _legend(axes: Axes, columns: int) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=columns,
            borderaxespad=0.2,
            handlelength=1.2,
            columnspacing=1.2,
        )


def _svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element to stand in a page: ids of its own, colours by variable, no fixed size."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, dpi=110)
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    width = float(re.search(r'width="([\d.]+)pt"', text)[1]) * 96 / 72 * LARGEST
    text = re.sub(r' width="[\d.]+pt"| height="[\d.]+pt"', "", text, count=2)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    return text.replace("<svg ", f'<svg aria-hidden="true" style="max-width:{width:.0f}px" ', 1)
