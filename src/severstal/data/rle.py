"""Run-length code of the competition: pixels numbered from 1 down the columns, ``start length`` pairs.

Promises that ``decode(encode(mask)) == mask`` for every mask, and that a string which is not a valid code
(odd, not numbers, beyond the image, unsorted, overlapping) is refused with the reason. Runs that merely
touch are valid: the competition's own labels have none, but a code that splits a run loses no pixel.
"""

from __future__ import annotations

import re

import numpy as np

from severstal.errors import InputError

DIGITS = 18  # the sum of two such numbers fits an int64
NUMBER = re.compile(rf"-?[0-9]{{1,{DIGITS}}}")  # Python alone would take '1_000' and '+1' too


def encode(mask: np.ndarray) -> str:
    """Code of a mask; the empty string where the mask is empty.

    Args:
        mask: ``[H, W]``, any dtype; every non-zero pixel belongs to the mask.
    """
    mask = np.asarray(mask, dtype=bool)
    if not mask.any():
        return ""
    height, width = mask.shape
    # Edges are looked for along the rows, as the pixels lie in memory, and numbered down the columns: turning the
    # mask first takes longer than all else together.
    y, x = np.divmod(np.flatnonzero(mask[1:] != mask[:-1]), width)
    above = np.concatenate(([False], mask[-1, :-1]))  # a column goes on where the one before it ends
    tops = np.flatnonzero(mask[0] != above) * height
    end = [mask.size] if mask[-1, -1] else []
    edges = np.sort(np.concatenate((x * height + y + 1, tops, np.array(end, dtype=np.int64))))
    starts, ends = edges[::2], edges[1::2]
    pairs = np.column_stack((starts + 1, ends - starts)).ravel()
    return " ".join(map(str, pairs.tolist()))


def runs(code: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Zero-based starts and the lengths of a code's runs, both ``int64 [n]``, checked against the image.

    Raises:
        InputError: naming the first thing that is wrong with the code.
    """
    words = code.split()
    digits = "".join(words)
    if not (digits.isascii() and digits.isdigit() and max(map(len, words)) <= DIGITS):  # one look at a good code
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
    late = np.flatnonzero(ends > height * width)
    if late.size:
        run = f"{starts[late[0]] + 1} {lengths[late[0]]}"
        raise InputError(f"run {run!r} ends beyond the last pixel of a {height}x{width} image")
    order = np.flatnonzero(starts[1:] < ends[:-1])
    if order.size:
        first, second = order[0], order[0] + 1
        wrong = "is out of order after" if starts[second] < starts[first] else "overlaps"
        raise InputError(f"run '{starts[second] + 1} {lengths[second]}' {wrong} '{starts[first] + 1} {lengths[first]}'")
    return starts, lengths


def decode(code: str, height: int, width: int) -> np.ndarray:
    """Mask ``bool [height, width]`` of a code (empty for the empty string).

    Raises:
        InputError: as :func:`runs`.
    """
    starts, lengths = runs(code, height, width)
    columns = np.zeros(height * width, dtype=bool)
    for start, end in zip(starts.tolist(), (starts + lengths).tolist(), strict=True):
        columns[start:end] = True
    return columns.reshape((height, width), order="F")
