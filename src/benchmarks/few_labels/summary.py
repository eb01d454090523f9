"""The rows of all trials as a table in Markdown and as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")  # no window: it runs on servers
import pandas as pd
from matplotlib import pyplot as plt

from severstal.data.labels import CLASSES

SCORES = ["best", "plain", *(f"class_{defect}" for defect in CLASSES), "empty"]
TITLES = {"best": "at the best values for these strips", "plain": "at plain values"}
WITHOUT = "the recipe's first weights"


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, a row per line of the picture and number of labelled strips.

    Folds are averaged first, each by its number of strips. The pretrained network as it is, without a labelled strip,
    begins each line that starts from it.

    Returns:
        Columns ``line``, ``labelled``, ``trained_on``, ``seeds``, and ``<score>`` and ``<score>_sd`` for each score; a
        single seed has a standard deviation of nan.
    """
    as_it_is = rows[rows["labelled"] == 0]
    trained = rows[rows["labelled"] > 0]
    parts = []
    for values, of_line in trained.groupby(["network", "synthetic", "learning_rate", "steps"], sort=True):
        points = pd.concat([as_it_is, of_line]) if values[0] else of_line
        parts.append(points.assign(line=_name(*values)))
    parts = parts or [as_it_is.assign(line="pretrained")]
    table = pd.concat(parts)
    weighted = table[SCORES].mul(table["held_out"], axis=0)
    keys = [table[name] for name in ("line", "labelled", "seed")]
    per_seed = weighted.groupby(keys, sort=False).sum().div(table.groupby(keys, sort=False)["held_out"].sum(), axis=0)
    of_point = per_seed.groupby(["line", "labelled"], sort=False)
    spread = of_point.std().add_suffix("_sd")
    counts = table.groupby(["line", "labelled"], sort=False)["trained_on"].mean()
    return pd.concat([counts, of_point.size().rename("seeds"), of_point.mean(), spread], axis=1).reset_index()


def _name(network: str, synthetic: int, learning_rate: float, steps: int) -> str:
    start = "pretrained" if network else WITHOUT
    mixed = f", with {synthetic} synthetic strips" if synthetic else ""
    return f"{start}{mixed}, {steps} steps at {learning_rate:g}"


def markdown(summary: pd.DataFrame) -> str:
    """A row per point: Dice as ``.812 ± .010``, the spread of the seeds."""
    classes = [f"class {defect}" for defect in CLASSES]
    header = ["first weights", "labelled", "trained on", "seeds", "best values", "plain values", *classes, "empty file"]
    lines = [header, ["---"] * len(header)]
    for row in summary.to_dict("records"):
        cells = [_dice(row[score], row[f"{score}_sd"]) for score in SCORES]
        lines.append([row["line"], row["labelled"], f"{row['trained_on']:g}", row["seeds"], *cells])
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _dice(mean: float, spread: float) -> str:
    text = f"{mean:.3f}" + (f" ± {spread:.3f}" if spread > 0 else "")
    return text.replace("0.", ".")


def draw(path: Path, summary: pd.DataFrame) -> None:
    """PNG: Dice against the number of labelled strips; a line per kind of training, bars of one standard deviation."""
    figure, panels = plt.subplots(1, len(TITLES), figsize=(11, 4.4), sharey=True, layout="constrained")
    for axes, (score, title) in zip(panels, TITLES.items(), strict=True):
        for name, points in summary.groupby("line", sort=False):
            spread = points[f"{score}_sd"].fillna(0)
            axes.errorbar(points["trained_on"], points[score], spread, label=name, marker="o", capsize=3)
        axes.axhline(summary["empty"].mean(), color="grey", linestyle=":", label="empty file")
        axes.set(title=f"Dice {title}", xlabel="labelled strips to train on")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("Dice, mean of the classes")
    panels[-1].legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)
