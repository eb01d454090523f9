"""Write a made-up data set in the competition's form, for a machine that does not have Kaggle's files.

Reads nothing. Writes ``input/`` (train_images, train.csv, test_images, sample_submission.csv, test_truth.csv
and the mark MADE_UP.json); a folder that holds data already is left untouched.

    python src/make_input.py
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from severstal import command_line, madeup
from severstal.errors import InputError, run_stage

DEFAULTS = {"train": 160, "test": 48, "seed": 0}


def main() -> None:
    options = _options()
    folder = command_line.paths_of(options).input
    given = {name: value for name in DEFAULTS if (value := getattr(options, name)) is not None}
    values = DEFAULTS | given
    madeup.finish_interrupted(folder)
    if madeup.holdings(folder):
        print(_keep(folder, values, given))
    else:
        _make(folder, values, options.workers)


def _options() -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    for name, help_text in (("train", "train strips"), ("test", "test strips"), ("seed", "seed")):
        text = f"{help_text} (default {DEFAULTS[name]})"
        parser.add_argument(f"--{name}", type=int, metavar="N", help=text)
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default 2)")
    return parser.parse_args()


def _keep(folder: Path, values: dict[str, int], given: dict[str, int]) -> str:
    """What to say about a folder that holds data, which is never overwritten."""
    made_from = madeup.marker(folder)
    if made_from is None:
        return f"{folder} holds data ({', '.join(madeup.holdings(folder))}): left untouched"
    if made_from == madeup.parameters(**values):
        return f"{folder} is up to date: made-up steel, {_counts(made_from)}"
    version = made_from.get("version")
    held = f"{folder} holds made-up steel of other values ({_counts(made_from)}, version {version})"
    cure = "delete the folder's content to remake it"
    if given:
        raise InputError(f"{held} than asked for ({_counts(values)}): {cure}, or choose another --input")
    return f"{held}: left as it is; {cure}"


def _make(folder: Path, values: dict[str, int], workers: int) -> None:
    start = time.perf_counter()
    madeup.write(folder, **values, workers=workers)
    seconds = time.perf_counter() - start
    print(f"wrote made-up steel to {folder}: {_counts(values)}, in {seconds:.1f} s")
    print("these are no strips of the competition: scores on them are scores on made-up steel")


def _counts(values: dict[str, int]) -> str:
    return f"{values.get('train')} train and {values.get('test')} test strips, seed {values.get('seed')}"


if __name__ == "__main__":
    run_stage(main)
