"""Write a synthetic data set in the competition's form, for a machine that does not have Kaggle's files.

Reads nothing. Writes ``input/`` (train_images, train.csv, test_images, sample_submission.csv, test_truth.csv
and the mark SYNTHETIC.json); a folder that holds data already is left untouched.

    python src/make_input.py
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from severstal import console
from severstal.errors import InputError, run_stage
from severstal.synthetic import dataset

DEFAULTS = {"train": 160, "test": 48, "seed": 0}


def main() -> None:
    options = _options()
    folder = console.paths_of(options).input
    given = {name: value for name in DEFAULTS if (value := getattr(options, name)) is not None}
    values = DEFAULTS | given
    dataset.finish_interrupted(folder)
    if dataset.holdings(folder):
        print(_keep(folder, values, given))
    else:
        _make(folder, values, options.num_workers)


def _options() -> argparse.Namespace:
    parser = console.parser(__doc__)
    for name, help_text in (("train", "train strips"), ("test", "test strips"), ("seed", "seed")):
        text = f"{help_text} (default {DEFAULTS[name]})"
        parser.add_argument(f"--{name}", type=int, metavar="N", help=text)
    parser.add_argument("--num-workers", type=int, default=2, metavar="N", help="processes (default 2)")
    return parser.parse_args()


def _keep(folder: Path, values: dict[str, int], given: dict[str, int]) -> str:
    """What to say about a folder that holds data, which is never overwritten."""
    made_from = dataset.marker(folder)
    if made_from is None:
        return f"{folder} holds data ({', '.join(dataset.holdings(folder))}): left untouched"
    if made_from == dataset.parameters(**values):
        return f"{folder} is up to date: synthetic steel, {_counts(made_from)}"
    version = made_from.get("version")
    held = f"{folder} holds synthetic steel of other values ({_counts(made_from)}, version {version})"
    cure = "delete the folder's content to remake it"
    if given:
        raise InputError(f"{held} than asked for ({_counts(values)}): {cure}, or choose another --input")
    return f"{held}: left as it is; {cure}"


def _make(folder: Path, values: dict[str, int], workers: int) -> None:
    start = time.perf_counter()
    dataset.write(folder, **values, workers=workers)
    seconds = time.perf_counter() - start
    print(f"wrote synthetic steel to {folder}: {_counts(values)}, in {seconds:.1f} s")
    print("these are no strips of the competition: scores on them are scores on synthetic steel")


def _counts(values: dict[str, int]) -> str:
    return f"{values.get('train')} train and {values.get('test')} test strips, seed {values.get('seed')}"


if __name__ == "__main__":
    run_stage(main)
