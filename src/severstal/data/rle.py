"""Run-length code of the competition: pairs of start and length, pixels numbered from 1 down the columns.

``decode(encode(mask)) == mask`` holds for every mask. A string that is no valid code (an odd count, no numbers, beyond
the image, unsorted, overlapping) is refused with the reason. Runs that touch are valid: the competition's labels have
none, but a code that splits a run loses no pixel.
"""

from __future__ import annotations

import re

import numpy as np

from severstal.errors import InputError

DIGITS = 18  # the sum of two such numbers fits an int64
NUMBER = re.compile(rf"-?[0-9]{{1,{DIGITS}}}")  # int() would accept '1_000' and '+1' too


def encode(mask: np.ndarray) -> str:
    """The code of a mask; an empty string for an empty mask.

    Args:
        mask: ``[H, W]``, any dtype; every non-zero pixel belongs to the mask.
    """
    mask = np.asarray(mask, dtype=bool)
    if not mask.any():
        return ""
    height, width = mask.shape
    # Edges between rows are found in the memory order of the pixels and then numbered down the columns: transposing
    # the mask first would take longer than the rest of the function.
    y, x = np.divmod(np.flatnonzero(mask[1:] != mask[:-1]), width)
    above = np.concatenate(([False], mask[-1, :-1]))  # a run continues from the foot of a column to the top of the next
    tops = np.flatnonzero(mask[0] != above) * height
    end = [mask.size] if mask[-1, -1] else []
    edges = np.sort(np.concatenate((x * height + y + 1, tops, np.array(end, dtype=np.int64))))
    starts, ends = edges[::2], edges[1::2]
    pairs = np.column_stack((starts + 1, ends - starts)).ravel()
    return " ".join(map(str, pairs.tolist()))


def runs(code: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Zero-based starts and lengths of a code's runs, both ``int64 [n]``, checked against the image's size.

    Raises:
        InputError: naming the first fault of the code.
    """
    words = code.split()
    digits = "".join(words)
    # A valid code passes this check of all words together, which is faster than one per word.
    if not (digits.isascii() and digits.isdigit() and max(map(len, words)) <= DIGITS):
        bad = next((word for word in words if not NUMBER.fullmatch(word)), None)
        if bad is not None:
            raise InputError(f"run-length code holds {bad!r}, which is not a whole number of up to {DIGITS} digits")
    numbers = np.fromstring(" ".join(words), dtype=np.int64, sep=" ")
    if numbers.size % 2:
        raise InputError(f"run-length code holds {numbers.size} numbers; it takes pairs of start and length")
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    if numbers.size and numbers.min() < 1:
        raise InputError(f"run-length code holds {numbers.min()}; starts and lengths count from 1")
    ends = starts + lengths
    beyond = np.flatnonzero(ends > height * width)
    if beyond.size:
        run = f"{starts[beyond[0]] + 1} {lengths[beyond[0]]}"
        raise InputError(f"run {run!r} ends beyond the last pixel of a {height}x{width} image")
    clashes = np.flatnonzero(starts[1:] < ends[:-1])
    if clashes.size:
        first, second = clashes[0], clashes[0] + 1
        fault = "is out of order after" if starts[second] < starts[first] else "overlaps"
        raise InputError(f"run '{starts[second] + 1} {lengths[second]}' {fault} '{starts[first] + 1} {lengths[first]}'")
    return starts, lengths


def decode(code: str, height: int, width: int) -> np.ndarray:
    """The mask of a code, ``bool [height, width]``; empty for an empty string.

    Raises:
        InputError: as :func:`runs`.
    """
    starts, lengths = runs(code, height, width)
    columns = np.zeros(height * width, dtype=bool)
    for start, end in zip(starts.tolist(), (starts + lengths).tolist(), strict=True):
        columns[start:end] = True
    return columns.reshape((height, width), order="F")
