"""Strips and labels that can be read but are hardly meant: the split names them, with what to do."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image
from support.commands import run_stage_in_process

from severstal.data import strips
from severstal.paths import Paths


def split_anew(paths: Paths) -> str:
    paths.folds_csv.unlink()
    return run_stage_in_process("make_folds", paths).stdout


def test_many_strips_without_a_row_are_named(tiny) -> None:
    assert "training strips have no row" not in split_anew(tiny)
    lines = tiny.train_csv.read_text().splitlines()
    tiny.train_csv.write_text("\n".join(lines[:3]) + "\n")
    assert (
        "warning: 10 of 12 training strips have no row in train.csv, so they are learned as clean: move"
        in split_anew(tiny)
    )
    clean = [f"{image},1," for image in strips.listing(tiny.train_images) if image not in "".join(lines[:3])]
    tiny.train_csv.write_text("\n".join([*lines[:3], *clean]) + "\n")
    assert "training strips have no row" not in split_anew(tiny)


def test_a_camera_that_leaves_the_upper_bits_empty_is_named(tiny) -> None:
    for bits in (14, 16):
        for number, image in enumerate(strips.listing(tiny.train_images)):
            levels = np.random.default_rng(number).integers(0, 1 << bits, (64, 96), dtype=np.uint16)
            data = BytesIO()
            Image.fromarray(levels).save(data, "PNG")
            (tiny.train_images / image).write_bytes(data.getvalue())  # a file is read by its content
        assert ("their brightest level is 63 of 255" in split_anew(tiny)) == (bits == 14)
