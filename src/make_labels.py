"""Write the table of labels from masks that a labelling program exported, a PNG per strip.

Reads input/train_images/ and the folder of masks, where a.png belongs to a.jpg and each pixel is 0 or its class, 1 to
4; writes input/train.csv. A strip whose mask is all 0 gets a row without a code: somebody found it clean.

    bash bin/make_labels.sh --input mill --masks mill/masks
"""

from __future__ import annotations

from io import StringIO

import pandas as pd

from severstal.artifacts import write_text
from severstal.console import Stage, parser, path, paths_of
from severstal.data import mask_images, strips
from severstal.data.labels import CLASSES
from severstal.errors import InputError, run_stage


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("--masks", type=path, required=True, metavar="DIR", help="the folder of the masks")
    command_line.add_argument("--output", type=path, metavar="FILE", help="default: train.csv of --input")
    options = command_line.parse_args()
    paths = paths_of(options)
    stage, output = Stage("labels", paths), options.output or paths.train_csv
    images = strips.listing(paths.train_images)
    height, width = strips.read(paths.train_images / images[0]).shape
    codes = mask_images.read_codes(options.masks, images, height, width)
    stage.read(f"{len(codes)} masks of {options.masks}", f"{len(images)} strips of {paths.train_images}")
    text = table(codes)
    if not output.exists():
        write_text(output, text)
        stage.wrote(output)
    elif output.read_text(encoding="utf-8") == text:
        stage.cached(output)
    else:
        raise InputError(f"{output} holds other labels: move it away, or name another file with --output")
    counts = ", ".join(f"{sum(defect in found for found in codes.values())} of class {defect}" for defect in CLASSES)
    stage.say(f"{sum(not found for found in codes.values())} clean strips, {counts}")
    if len(codes) < len(images):
        stage.say(
            f"warning: {len(images) - len(codes)} strips have no mask and will count as clean: {strips.UNLABELLED}"
        )
    stage.done(keep_time=False)


def table(codes: dict[str, dict[int, str]]) -> str:
    """The content of train.csv: a row per strip and class, and for a clean strip one without a code."""
    rows = [(image, *row) for image, found in codes.items() for row in (found or {CLASSES[0]: ""}).items()]
    text = StringIO()
    pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"]).to_csv(text, index=False)
    return text.getvalue()


if __name__ == "__main__":
    run_stage(main)
