"""Label strips that have no label with a trained ensemble, where its networks agree.

Reads input/test_images/ (or --images DIR), input/train_images/, the split, every network of folds/ with its engine and
folds/postprocess.json. Writes folds/pseudo/ (or --output DIR): fold_<k>.csv in the form of train.csv, which fold k may
train on; assessments.csv with the reasons; pseudo.json. The labels of fold k come from the networks of fold k alone,
which never saw its validation strips, and from post-processing values chosen without these.

    bash bin/pseudo.sh
    mkdir -p folds/second && cp folds/folds.csv folds/second/
    bash bin/run_all.sh --recipe RECIPE --folds folds/second --submissions submissions/second \
        --pseudo-labels folds/pseudo          an experiment with the recipe and split of the first, and these labels
"""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from severstal.console import Stage, parser, path, paths_of
from severstal.engines import catalog
from severstal.errors import InputError, run_stage
from severstal.inference.assessment import Limits
from severstal.inference.pseudo_labelling_run import PseudoLabellingRun
from severstal.paths import is_synthetic_folder
from severstal.run_lock import run_lock

LIMITS = (
    ("min-present", 0.8, "class probability from which the classifier says that a class is present"),
    ("max-absent", 0.4, "class probability up to which it says that the class is absent"),
    ("threshold-margin", 1.0, "logits by which thresholds are moved to see whether the mask changes"),
    ("min-agreement", 0.8, "least Dice between masks that agree"),
)


def main() -> None:
    options = parse()
    paths = paths_of(options)
    stage = Stage("pseudo", paths, is_synthetic=is_synthetic_folder(options.images or paths.test_images))
    limits = limits_of(options.min_present, options.max_absent, options.threshold_margin, options.min_agreement)
    run = PseudoLabellingRun.of(paths, options.images, options.output, catalog.choose(options.engine), limits)
    stage.read(f"{len(run.images)} strips of {run.folder}", f"{run.num_networks} networks, engine {run.engine}")
    if not stage.is_cached(run.artifact()):
        with run_lock(run.output.folder):
            run.label()
        stage.wrote(*run.files())
    for line in run.summary():
        stage.say(line)
    stage.done(keep_time=options.images is None)


def parse() -> Namespace:
    command_line = parser(__doc__)
    command_line.add_argument(
        "--images", type=path, metavar="DIR", help="a folder of strips; default: test_images of --input"
    )
    command_line.add_argument("--output", type=path, metavar="DIR", help="default: pseudo/ in the folds folder")
    command_line.add_argument("--engine", default="auto", help=catalog.OPTION_HELP)
    for name, value, meaning in LIMITS:
        command_line.add_argument(
            f"--{name}", type=float, default=value, metavar="VALUE", help=f"{meaning}; default: {value}"
        )
    return command_line.parse_args()


def limits_of(min_present: float, max_absent: float, threshold_margin: float, min_agreement: float) -> Limits:
    """The limits of the options, with class probabilities from 0 to 1.

    Raises:
        InputError: if a value is outside its range.
    """
    if not 0 <= max_absent < min_present <= 1:
        raise InputError(
            f"--max-absent {max_absent} --min-present {min_present}: give 0 <= max-absent < min-present <= 1"
        )
    if not 0 <= threshold_margin < np.inf:
        raise InputError(f"--threshold-margin {threshold_margin}: give a number of logits, 0 or more")
    if not 0 <= min_agreement <= 1:
        raise InputError(f"--min-agreement {min_agreement}: give a Dice from 0 to 1")
    return Limits(round(min_present * 255), round(max_absent * 255), threshold_margin, min_agreement)


if __name__ == "__main__":
    run_stage(main)
