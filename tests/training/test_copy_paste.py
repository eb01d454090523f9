"""Copy-paste: a pasted defect is labelled, covers what was there, and fits its surroundings."""

from __future__ import annotations

import numpy as np
import pytest

from severstal.data.memory_map import TrainingStrips
from severstal.data.training_set import read_training_set
from severstal.training.copy_paste import CopyPaste


@pytest.fixture
def paste(tiny):
    """Pastes a defect of class 2 into a crop and its bit map."""
    data = read_training_set(tiny)
    donor = next(image for image, codes in data.labels.items() if 2 in codes)
    copy_paste = CopyPaste(TrainingStrips(data), 2)
    return lambda grey, bit_map: copy_paste(grey, bit_map, donor, np.random.default_rng(0))


def flat(level: int) -> np.ndarray:
    return np.full((64, 96), level, dtype=np.uint8)


def test_a_pasted_defect_is_labelled_and_has_the_donors_texture_at_the_crops_brightness(paste) -> None:
    original = flat(90)
    grey, bit_map = paste(original, flat(0))
    defect = bit_map == 1 << 1
    assert defect.any()
    assert set(np.unique(bit_map)) == {0, 2}
    assert (original == 90).all(), "the strip itself must not be written to"
    assert grey[defect].std() > 10, "the donor's noise is missing"
    assert abs(grey[defect].mean() - 90) < 40, "the patch has the donor's brightness"
    elsewhere = np.ones_like(defect)
    rows, columns = np.nonzero(defect)
    elsewhere[max(rows.min() - 20, 0) : rows.max() + 20, max(columns.min() - 20, 0) : columns.max() + 20] = False
    assert (grey[elsewhere] == 90).all()


def test_a_defect_that_is_covered_is_not_labelled_any_more(paste) -> None:
    _, bit_map = paste(flat(90), flat(1 << 2))
    assert set(np.unique(bit_map)) == {1 << 1, 1 << 2}


def test_nothing_is_pasted_on_black_beyond_the_steel(paste) -> None:
    grey, bit_map = paste(flat(0), flat(0))
    assert not grey.any()
    assert not bit_map.any()
