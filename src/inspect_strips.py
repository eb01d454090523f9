"""Run the ensemble on your own strips: an overlay of each strip, and a table of areas per class.

Reads an image file or a folder of them, and a trained run's folds/; writes <name>_defects.jpg for each strip and
defects.csv into --output. (Not called inspect.py: that would hide Python's own module of this name.)

    bash bin/inspect.sh FILE|FOLDER
    bash bin/inspect.sh /mill/today --output /mill/today-defects
    bash bin/inspect.sh s3://mill/2026/a.jpg --result s3://mill/defects
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from severstal.console import Stage, parser, path, paths_of
from severstal.engines import catalog
from severstal.errors import run_stage
from severstal.inference import inspection
from severstal.inference.cluster_packages import check_cluster_packages
from severstal.inference.predictor import Predictor
from severstal.inference.strip_prediction import MeasuredDefects
from severstal.paths import InspectionPaths, Paths, is_synthetic_folder
from severstal.run_lock import run_lock


def main() -> None:
    options = parse()
    paths = paths_of(options)
    output = InspectionPaths(options.output.resolve()) if options.output else paths.inspected
    strips = Path(options.strips)
    stage = Stage("inspect", paths, is_synthetic=is_synthetic_folder(strips if strips.is_dir() else strips.parent))
    names, predictions = stored(stage, options) if options.result else predicted(stage, options, paths, output)
    with run_lock(output.folder):
        table = inspection.inspect_strips(names, predictions, output)
    stage.wrote(f"{len(table)} overlays in {output.folder}", output.table)
    for line in inspection.summary(table):
        stage.say(line)
    stage.done(keep_time=False)


def predicted(
    stage: Stage, options: Namespace, paths: Paths, output: InspectionPaths
) -> tuple[list[str], Iterable[MeasuredDefects]]:
    """Names of the strips, and what the ensemble finds on them."""
    folder, names = inspection.list_strips(Path(options.strips).resolve())
    inspection.check_output(folder, output.folder)
    predictor = Predictor(paths.folds, options.engine)
    stage.read(f"{len(names)} strips of {folder}", f"{len(predictor.members)} networks, engine {predictor.engine}")
    stage.say_origin(predictor.synthetic_origin)
    return names, predictor.predict_many((folder / name for name in names), batch_size=1)


def stored(stage: Stage, options: Namespace) -> tuple[list[str], Iterable[MeasuredDefects]]:
    """The name of one strip, and what a result of bin/predict_lake.sh holds of it."""
    check_cluster_packages()
    from severstal.inference.lake.result import Result

    defects = Result.at(options.result).defects(options.strips)
    stage.read(f"{options.strips} and its masks in {options.result}")
    return [Path(options.strips).name], [defects]


def parse() -> Namespace:
    command_line = parser(__doc__)
    command_line.add_argument("strips", metavar="FILE|FOLDER", help="an image of a strip, or a folder of them")
    command_line.add_argument(
        "--output", type=path, metavar="DIR", help="default: inspected/ in the submissions folder"
    )
    command_line.add_argument("--engine", default="auto", help=catalog.OPTION_HELP)
    command_line.add_argument(
        "--result", metavar="DEST", help="a result of bin/predict_lake.sh: draw its masks of FILE, without networks"
    )
    return command_line.parse_args()


if __name__ == "__main__":
    run_stage(main)
