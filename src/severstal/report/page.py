"""The report as one HTML file without any other: facts, charts and strips through a jinja2 template."""

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
from severstal.report.facts import read_grid
from severstal.report.gallery import Shown

TEMPLATES = Path(__file__).parent / "templates"
MISSING = "\N{EN DASH}"


def render(paths: Paths, facts: dict[str, Any], shown: list[Shown]) -> str:
    """The page.

    Args:
        facts: what :func:`severstal.report.facts.gather` gives, with the shown strips' facts as ``strips``.
        shown: these strips with their pictures, in the same order.
    """
    drawn = {
        "scores": charts.scores(facts),
        "lost": charts.lost(facts),
        "reliability": charts.reliability(facts),
        "loss": charts.training(facts, "loss", "training loss"),
        "dice": charts.training(facts, "dice", "validation Dice"),
        "grids": {
            str(defect): charts.grid(
                read_grid(paths, defect, rules.parse(facts["classes"][str(defect)]["rule"])), facts, defect
            )
            for defect in CLASSES
        },
        "times": charts.times(facts) if facts["times"] else "",
    }
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups = _groups(facts)
    environment.filters |= {"duration": duration, "path": lambda keys: ".".join(map(str, keys))}
    return environment.get_template("report.html").render(
        facts=facts,
        told=Told(facts),
        charts=drawn,
        groups=groups,
        opened=_opened(facts, groups),
        pictures=[one.pictures for one in shown],
        maps=json.dumps([one.pictures["probability"] for one in shown]),
        classes=CLASSES,
        colours=COLOURS,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
    )


def _groups(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and label of each group of strips that has any, in order."""
    labels = {f"class-{defect}": f"class {defect}" for defect in CLASSES} | {
        "clean": "clean strips",
        "test": "test strips",
    }
    there = {one["group"] for one in facts["strips"]}
    return [(group, label) for group, label in labels.items() if group in there]


def _opened(facts: dict[str, Any], groups: list[tuple[str, str]]) -> str:
    """The group that the page opens with: of the class that was found in most strips, the first of equals."""
    found = {f"class-{defect}": facts["mistakes"][str(defect)]["found"] for defect in CLASSES}
    return max((group for group, _ in groups), key=lambda group: found.get(group, -1))


class Told:
    """Numbers for the template: each comes with the place in the JSON file that it was read from.

    So what the page shows can be compared with the JSON, number by number.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def __call__(self, path: str, form: str = ".4f") -> dict[str, str]:
        """Text of the value at a path such as ``scores.nested.mean``, with the path and the form."""
        value: Any = self._facts
        for key in path.split("."):
            value = value[int(key)] if isinstance(value, list) else value[key]
        return {"path": path, "form": form, "text": MISSING if value is None else format(value, form)}
