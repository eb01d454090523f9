"""Run the ensemble on strips of one's own: an overlay of each, and a table of areas per class.

Reads a JPEG file or a folder of them, and a trained run's folds/; writes <name>_defects.jpg for each strip and
defects.csv into --output. (Not called inspect.py: that would hide Python's own module of this name.)

    bash bin/inspect.sh FILE|FOLDER
    bash bin/inspect.sh /mill/today --output /mill/today-defects
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from severstal.artifacts import replacing
from severstal.console import Stage, parser, paths_of
from severstal.data import strips
from severstal.data.labels import CLASSES
from severstal.engines import catalog
from severstal.errors import InputError, run_stage
from severstal.inference import outlines
from severstal.inference.inspection import Inspector, Seen, jpeg
from severstal.paths import InspectionPaths

COLUMNS = ("defects", "area_px", "area_percent", "confidence")


def main() -> None:
    made = parser(__doc__)
    made.add_argument("strips", type=Path, metavar="FILE|FOLDER", help="a JPEG strip, or a folder of them")
    made.add_argument("--output", type=Path, metavar="DIR", help="default: inspected/ in the submissions folder")
    made.add_argument("--engine", default="auto", help=catalog.OPTION_HELP)
    options = made.parse_args()
    paths = paths_of(options)
    output = InspectionPaths(options.output.resolve()) if options.output else paths.inspected
    stage = Stage("inspect", paths)
    folder, names = listing(options.strips.resolve())
    check_apart(folder, output.folder)
    inspector = Inspector(paths, options.engine)
    stage.read(f"{len(names)} strips of {folder}", f"{len(inspector.names)} networks, engine {inspector.engine}")
    rows = inspect(inspector, folder, names, output)
    with replacing(output.table) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    stage.wrote(f"{len(rows)} overlays in {output.folder}", output.table)
    for defect in CLASSES:
        there = [row for row in rows if row[f"class_{defect}_area_px"]]
        area = sum(row[f"class_{defect}_area_px"] for row in there)
        stage.say(f"class {defect}: on {len(there)} of {len(rows)} strips, {area:,} px")
    stage.done(keep_time=False)


def listing(given: Path) -> tuple[Path, list[str]]:
    """Folder and names of the strips asked for."""
    if given.is_dir():
        names = strips.listing(given)
        stems = [Path(name).stem for name in names]
        twice = next((stem for stem in stems if stems.count(stem) > 1), None)
        if twice:
            raise InputError(
                f"{given} holds {twice}.jpg and {twice}.jpeg or the like: rename one, overlays share a name"
            )
        return given, names
    if not given.exists():
        raise InputError(f"{given} is missing: name a JPEG strip or a folder of them")
    return given.parent, [given.name]


def check_apart(folder: Path, output: Path) -> None:
    """Raise if overlays would be written among the strips: the next run would take them for strips."""
    if folder == output:
        raise InputError(f"{output} holds the strips themselves: choose another folder with --output")


def inspect(inspector: Inspector, folder: Path, names: list[str], output: InspectionPaths) -> list[dict]:
    """Write an overlay of each strip; returns the table's rows."""
    rows = []
    for name in tqdm(names, "inspect", unit="strip", leave=False, disable=None):
        seen = inspector.look(strips.read_sized(folder / name, inspector.height, inspector.width))
        with replacing(output.overlay(name)) as temporary:
            temporary.write_bytes(jpeg(outlines.draw(seen.strip, seen.masks)))
        rows.append(row(name, seen))
    return rows


def row(name: str, seen: Seen) -> dict[str, str | int | float]:
    """A strip's row of the table: four columns per class."""
    found = {one.defect: one for one in seen.findings}
    made: dict[str, str | int | float] = {"ImageId": name}
    for defect in CLASSES:
        one = found.get(defect)
        values = (one.defects, one.area, round(100 * one.share, 3), round(one.confidence, 3)) if one else (0, 0, 0, "")
        made |= {f"class_{defect}_{column}": value for column, value in zip(COLUMNS, values, strict=True)}
    return made


if __name__ == "__main__":
    run_stage(main)
