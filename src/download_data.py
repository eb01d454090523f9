"""Download the competition's files from Kaggle.

Reads a Kaggle token (see docs/kaggle.md). Writes train.csv, sample_submission.csv, train_images/ and test_images/ into
the input folder. After an interruption, the same command continues where it stopped; if all files are in place, it does
nothing.

    bash bin/download_data.sh
    bash bin/download_data.sh --keep-zip
"""

from __future__ import annotations

from contextlib import nullcontext

from severstal.console import Stage, parser, paths_of
from severstal.errors import run_stage
from severstal.kaggle.download import download, image_counts, missing
from severstal.run_lock import run_lock


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("--keep-zip", action="store_true", help="keep Kaggle's zip after unpacking")
    options = command_line.parse_args()
    paths = paths_of(options)
    stage = Stage("download data", paths)
    with run_lock(paths.input) if missing(paths.input) else nullcontext():
        downloaded = download(paths.input, keep_zip=options.keep_zip)
    train, test = image_counts(paths.input).values()
    files = f"train.csv, sample_submission.csv, {train} train images and {test} test images in {paths.input}"
    if downloaded:
        stage.wrote(files)
    else:
        stage.cached(files)
    stage.done(keep_time=False)


if __name__ == "__main__":
    run_stage(main)
