"""Masks that a labelling program exported become train.csv; what is no mask of a strip is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import run_refused, run_stage_in_process

from severstal.data import rle
from severstal.data.labels import read_labels
from severstal.data.strips import listing
from severstal.paths import Paths

MASK = np.zeros((64, 96), dtype=np.uint8)
MASK[4:9, 10:20], MASK[30:40, 50:], MASK[60, 1] = 1, 3, 3


def save(file: Path, values: np.ndarray, mode: str = "P") -> None:
    file.parent.mkdir(exist_ok=True)
    picture = Image.fromarray(values)
    if mode == "P":
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0])
    picture.convert(mode).save(file)


@pytest.fixture
def masks(tiny: Paths) -> Path:
    """The folder of the masks of two strips, one of them clean; train.csv is gone."""
    tiny.train_csv.unlink()
    folder = tiny.input / "masks"
    save(folder / "000000001.png", MASK)
    save(folder / "000000002.PNG", np.zeros_like(MASK), "L")
    return folder


def test_indexed_masks_become_labels_that_decode_to_them(tiny, masks) -> None:
    printed = run_stage_in_process("make_labels", tiny, "--masks", masks).stdout
    assert "1 clean strips, 1 of class 1, 0 of class 2, 1 of class 3, 0 of class 4" in printed
    assert "warning: 10 strips have no mask and will count as clean: move" in printed
    labels = read_labels(tiny.train_csv, 64, 96, listing(tiny.train_images))
    assert sorted(labels["000000001.jpg"]) == [1, 3]
    for defect, code in labels["000000001.jpg"].items():
        assert np.array_equal(rle.decode(code, 64, 96), defect == MASK)
    assert tiny.train_csv.read_text().splitlines()[-1] == "000000002.jpg,1,"
    assert "cached" in run_stage_in_process("make_labels", tiny, "--masks", masks).stdout


def test_labels_that_are_there_are_not_replaced(tiny, masks) -> None:
    run_stage_in_process("make_labels", tiny, "--masks", masks)
    save(masks / "000000002.PNG", MASK)
    assert "train.csv holds other labels: move it away" in run_refused("make_labels", tiny, "--masks", masks)


@pytest.mark.parametrize(
    ("values", "name", "mode", "message"),
    [
        (MASK * 85, "000000003.png", "L", "000000003.png holds the value 85: a pixel must be 0 or its class, 1 to 4"),
        (MASK[:, :90], "000000003.png", "P", "000000003.png is 64x90 pixels (height x width) where 64x96 is expected"),
        (MASK, "000000003.png", "RGB", "000000003.png has pixels of the kind RGB: save the mask with indexed colours"),
        (MASK, "00000003.png", "P", "there is no strip of this name (did you mean 000000003"),
    ],
    ids=["black and white", "another size", "colour", "no strip"],
)
def test_what_is_no_mask_of_a_strip_is_named_with_the_cure(tiny, masks, values, name, mode, message) -> None:
    save(masks / name, values, mode)
    assert message in run_refused("make_labels", tiny, "--masks", masks)


def test_corrupt_masks_other_files_and_missing_folders_are_named(tiny, masks) -> None:
    whole = (masks / "000000001.png").read_bytes()
    (masks / "000000001.png").write_bytes(whole[: len(whole) // 2])
    assert "000000001.png is corrupt or cut short" in run_refused("make_labels", tiny, "--masks", masks)
    (masks / "000000001.png").write_bytes((tiny.train_images / "000000001.jpg").read_bytes())
    assert "000000001.png is no PNG" in run_refused("make_labels", tiny, "--masks", masks)
    assert "holds no PNG" in run_refused("make_labels", tiny, "--masks", tiny.train_images)
    assert "is no folder" in run_refused("make_labels", tiny, "--masks", tiny.input / "none")
