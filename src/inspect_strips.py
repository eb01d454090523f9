"""Run the ensemble on your own strips: an overlay of each strip, and a table of areas per class.

Reads an image file or a folder of them, and a trained run's folds/; writes <name>_defects.jpg for each strip and
defects.csv into --output. (Not called inspect.py: that would hide Python's own module of this name.)

    bash bin/inspect.sh FILE|FOLDER
    bash bin/inspect.sh /mill/today --output /mill/today-defects
"""

from __future__ import annotations

from argparse import Namespace

from severstal.console import Stage, parser, path, paths_of
from severstal.engines import catalog
from severstal.errors import run_stage
from severstal.inference import inspection
from severstal.inference.predictor import Predictor
from severstal.paths import InspectionPaths
from severstal.run_lock import run_lock


def main() -> None:
    options = parse()
    paths = paths_of(options)
    output = InspectionPaths(options.output.resolve()) if options.output else paths.inspected
    stage = Stage("inspect", paths)
    folder, names = inspection.list_strips(options.strips.resolve())
    inspection.check_output(folder, output.folder)
    predictor = Predictor(paths.folds, options.engine)
    stage.read(f"{len(names)} strips of {folder}", f"{len(predictor.members)} networks, engine {predictor.engine}")
    with run_lock(output.folder):
        table = inspection.inspect_strips(predictor, folder, names, output)
    stage.wrote(f"{len(table)} overlays in {output.folder}", output.table)
    for line in inspection.summary(table):
        stage.say(line)
    stage.done(keep_time=False)


def parse() -> Namespace:
    command_line = parser(__doc__)
    command_line.add_argument(
        "strips", type=path, metavar="FILE|FOLDER", help="an image of a strip, or a folder of them"
    )
    command_line.add_argument(
        "--output", type=path, metavar="DIR", help="default: inspected/ in the submissions folder"
    )
    command_line.add_argument("--engine", default="auto", help=catalog.OPTION_HELP)
    return command_line.parse_args()


if __name__ == "__main__":
    run_stage(main)
