"""Predict the test strips with every network of the ensemble and write the submission.

Reads input/test_images/ (or --images DIR), input/sample_submission.csv, every folds/<encoder>/<fold>/model.onnx and
engine, and folds/postprocess.json; writes submissions/submission.csv and submissions/submission.json.

    bash bin/predict.sh
    bash bin/predict.sh --images /mill/today --submissions /mill/today-masks
    bash bin/predict.sh --time-limit 55m --skip-corrupt --skip-late
"""

from __future__ import annotations

from argparse import Namespace

from severstal.console import Stage, parser, path, paths_of, seconds_of
from severstal.engines import catalog
from severstal.errors import run_stage
from severstal.experiment import synthetic_origin
from severstal.inference.prediction_run import PredictionRun
from severstal.inference.time_budget import TimeBudget
from severstal.paths import is_synthetic_folder
from severstal.run_lock import run_lock


def main() -> None:
    options = parse()
    budget = TimeBudget.from_now(seconds_of(options.time_limit)) if options.time_limit is not None else None
    paths = paths_of(options)
    stage = Stage("predict", paths, is_synthetic=is_synthetic_folder(options.images or paths.test_images))
    run = PredictionRun.of(paths, options.images, catalog.choose(options.engine))
    stage.read(f"{len(run.form.images)} strips of {run.folder}", f"{len(run.members)} networks, engine {run.engine}")
    stage.say_origin(synthetic_origin(run.members))
    if not stage.is_cached(run.artifact(), paths.submission):
        with run_lock(paths.submissions):
            run.predict(budget, skip_corrupt=options.skip_corrupt, skip_late=options.skip_late)
        stage.wrote(paths.submission)
    for line in run.summary():
        stage.say(line)
    stage.done(keep_time=options.images is None)


def parse() -> Namespace:
    command_line = parser(__doc__)
    command_line.add_argument(
        "--images", type=path, metavar="DIR", help="a folder of strips; default: test_images of --input"
    )
    command_line.add_argument("--engine", default="auto", help=catalog.OPTION_HELP)
    command_line.add_argument(
        "--skip-corrupt",
        action="store_true",
        help="predict corrupt strips empty and list them; default: stop at the first one, with the file's name",
    )
    command_line.add_argument(
        "--time-limit", metavar="TIME", help="such as 55m: leave out members of the ensemble that would not finish"
    )
    command_line.add_argument(
        "--skip-late",
        action="store_true",
        help="predict strips empty that the time limit leaves no time for; default: exceed it, or refuse to start",
    )
    return command_line.parse_args()


if __name__ == "__main__":
    run_stage(main)
