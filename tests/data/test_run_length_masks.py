"""Crops drawn from run-length masks, against decoding the whole masks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from severstal.data import rle
from severstal.data.run_length_masks import RunLengthMasks


@settings(max_examples=100, deadline=None)
@given(arrays(bool, (9, 13)), arrays(bool, (9, 13)), st.data())
def test_a_drawn_crop_is_the_crop_of_the_decoded_masks(first, second, data) -> None:
    codes = {1: rle.encode(first), 4: rle.encode(second)}
    masks = RunLengthMasks.parse({defect: code for defect, code in codes.items() if code}, 9, 13)
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 13))
    top, left = data.draw(st.integers(0, 9 - height)), data.draw(st.integers(0, 13 - width))
    expected = (first + second * 8)[top : top + height, left : left + width]
    assert np.array_equal(masks.bit_map(top, left, height, width), expected)
    for defect, mask in ((1, first), (4, second)):
        if mask.any():
            pixels = np.argwhere(mask)
            assert masks.area(defect) == len(pixels)
            for number in {0, len(pixels) // 2, len(pixels) - 1}:
                assert masks.pixel(defect, number) == tuple(pixels[number])
