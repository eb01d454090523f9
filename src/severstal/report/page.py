"""The report as a single HTML file: facts, charts and strips through a jinja2 template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from severstal.console import duration
from severstal.data.labels import CLASSES
from severstal.inference.outlines import COLOURS
from severstal.paths import Paths
from severstal.postprocess import rules
from severstal.report import charts
from severstal.report.gallery import GalleryStrip
from severstal.report.scores import LABELS
from severstal.report.tuned_grid import read_grid

TEMPLATES = Path(__file__).parent / "templates"
MISSING = "\N{EN DASH}"


def render(paths: Paths, facts: dict[str, Any], gallery: list[GalleryStrip]) -> str:
    """The page.

    Args:
        facts: of :func:`severstal.report.facts.collect`, with the facts of the gallery's strips as ``strips``.
        gallery: these strips with their pictures, in the same order.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    groups = _groups(facts)
    return environment.get_template("report.html").render(
        facts=facts,
        number=NumberFormat(facts),
        charts=_charts(paths, facts),
        groups=groups,
        first_group=_first_group(facts, groups),
        pictures=[strip.pictures for strip in gallery],
        maps=json.dumps([strip.pictures["probability"] for strip in gallery]),
        classes=CLASSES,
        score_names=LABELS,
        colours=COLOURS,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
    )


def _charts(paths: Paths, facts: dict[str, Any]) -> dict[str, Any]:
    grids = {}
    for defect, row in facts["classes"].items():
        rule = rules.parse(row["rule"])
        grids[defect] = charts.grid(read_grid(paths, int(defect), rule), rule, row["grid"], f"grid-{defect}")
    return {
        "scores": charts.scores(facts),
        "lost_dice": charts.lost_dice(facts),
        "reliability": charts.reliability(facts),
        "loss": charts.training(facts, "loss", "training loss"),
        "dice": charts.training(facts, "dice", "validation Dice"),
        "grids": grids,
        "times": charts.times(facts) if facts["times"] else "",
    }


def _groups(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and label of each group of strips in the gallery, in order."""
    labels = {f"class-{defect}": f"class {defect}" for defect in CLASSES}
    labels |= {"clean": "clean strips", "test": "test strips"}
    used = {strip["group"] for strip in facts["strips"]}
    return [(group, label) for group, label in labels.items() if group in used]


def _first_group(facts: dict[str, Any], groups: list[tuple[str, str]]) -> str:
    """The group that the page shows first: the class that is found on most strips."""
    found = {f"class-{defect}": row["found"] for defect, row in facts["errors"]["classes"].items()}
    return max((group for group, _ in groups), key=lambda group: found.get(group, -1))


class NumberFormat:
    """Formats numbers for the template, together with their place in the JSON file.

    The page carries both, so that every number on it can be compared with the file.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def __call__(self, path: str, form: str = ".4f") -> dict[str, str]:
        """Text of the value at a path such as ``scores.nested.mean``, with the path and the format specification."""
        value: Any = self._facts
        for key in path.split("."):
            value = value[int(key)] if isinstance(value, list) else value[key]
        return {"path": path, "form": form, "text": MISSING if value is None else format(value, form)}
