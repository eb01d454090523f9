"""Fetch the competition's files from Kaggle: python src/download_data.py [--input DIR] [--keep-zip]

Reads a Kaggle token (see README). Writes train.csv, sample_submission.csv, train_images/ and test_images/
into the input folder. Run again after an interruption, it goes on where it stopped; where all is in place, it
does nothing.
"""

from __future__ import annotations

import time

from severstal.console import parser, paths_of
from severstal.errors import run_stage
from severstal.kaggle import client


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--keep-zip", action="store_true", help="keep Kaggle's zip after unpacking")
    options = made.parse_args()
    folder, start = paths_of(options).input, time.monotonic()
    fetched = client.download(folder, keep_zip=options.keep_zip)
    train, test = client.image_counts(folder).values()
    what = f"train.csv, sample_submission.csv, {train} train images and {test} test images"
    if fetched:
        print(f"wrote {what} to {folder} in {time.monotonic() - start:.0f} s")
    else:
        print(f"all is in place in {folder}: {what}; nothing to do")


if __name__ == "__main__":
    run_stage(main)
