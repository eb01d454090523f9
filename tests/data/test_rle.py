"""The run-length code: known strings, random masks, and the real masks beside the repository."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from severstal.data import rle
from severstal.errors import InputError


def plain_decode(code: str, height: int, width: int) -> np.ndarray:
    """Pixel by pixel, as the competition describes the code."""
    numbers = [int(word) for word in code.split()]
    mask = np.zeros((height, width), dtype=bool)
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        for pixel in range(start, start + length):
            mask[(pixel - 1) % height, (pixel - 1) // height] = True
    return mask


def test_pixels_are_numbered_from_one_down_the_columns() -> None:
    mask = np.array([[1, 0, 0], [1, 0, 1]])
    assert rle.encode(mask) == "1 2 6 1"
    assert rle.decode("1 2 6 1", 2, 3).tolist() == mask.astype(bool).tolist()


def test_a_run_continues_at_the_top_of_the_next_column() -> None:
    assert rle.decode("2 2", 2, 2).tolist() == [[False, True], [True, False]]
    assert rle.encode(np.array([[0, 1], [1, 0]])) == "2 2"


def test_an_empty_and_a_full_mask_have_a_code() -> None:
    assert rle.encode(np.zeros((4, 5))) == ""
    assert not rle.decode("", 4, 5).any()
    assert rle.encode(np.ones((4, 5))) == "1 20"
    assert rle.decode("1 20", 4, 5).all()


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_decode_undoes_encode(mask: np.ndarray) -> None:
    code = rle.encode(mask)
    assert np.array_equal(rle.decode(code, *mask.shape), mask)
    assert np.array_equal(plain_decode(code, *mask.shape), mask)


@settings(max_examples=200)
@given(st.lists(st.integers(-3, 40), max_size=8))
def test_a_code_is_refused_or_decoded_as_the_plain_decoder_does(numbers: list[int]) -> None:
    height, width, code = 5, 6, " ".join(map(str, numbers))
    runs = list(zip(numbers[::2], numbers[1::2], strict=False))
    pixels = [pixel for start, length in runs for pixel in range(start, start + length)]
    valid = (
        len(numbers) % 2 == 0
        and all(n >= 1 for n in numbers)
        and pixels == sorted(set(pixels))
        and all(pixel <= height * width for pixel in pixels)
    )
    if valid:
        assert np.array_equal(rle.decode(code, height, width), plain_decode(code, height, width))
    else:
        with pytest.raises(InputError):
            rle.decode(code, height, width)


def test_real_masks_survive_decoding_and_encoding(real_data) -> None:
    tables = [real_data / "severstal-sample" / name for name in ("labels.csv", "train.csv")]
    tables.append(real_data / "neu-strips" / "train.csv")
    codes = [code for table in tables for code in pd.read_csv(table)["EncodedPixels"]]
    assert len(codes) > 3900
    for code in codes[::3]:  # a third of them: the rest take five seconds more
        assert rle.encode(rle.decode(code, 256, 1600)) == code
