"""Check what only the last stages of a run read, lest it be found wrong after hours of training.

Reads the names of the strips in ``input/test_images/``, and ``input/sample_submission.csv``, if there are such data yet
(``run_all.sh`` fills an empty input folder with synthetic steel). Writes and prints nothing.

    bash bin/check_run.sh --input mill --engine openvino
"""

from __future__ import annotations

from severstal import console
from severstal.engines import catalog
from severstal.errors import InputError, run_stage
from severstal.inference.submission import form_of
from severstal.paths import Paths
from severstal.synthetic import dataset


def main() -> None:
    parser = console.parser(__doc__)
    parser.add_argument("--engine", default="auto", metavar="NAME", help="that will predict; default auto")
    options = parser.parse_args()
    paths = console.paths_of(options)
    catalog.choose(options.engine)
    if paths.train_images.is_dir() and not dataset.is_unfinished(paths.input):
        check_test_strips(paths)


def check_test_strips(paths: Paths) -> None:
    """Check that there are test strips, those of the sample submission.

    Raises:
        InputError: if not, with the way to do without them.
    """
    try:
        form_of(paths)
    except InputError as error:
        raise InputError(
            f"{error}\nrun_all.sh ends with a submission for the strips of {paths.test_images}. Without such strips, "
            "run make_folds.sh, train.sh, tune.sh and export.sh, and later predict.sh --images DIR"
        ) from None


if __name__ == "__main__":
    run_stage(main)
