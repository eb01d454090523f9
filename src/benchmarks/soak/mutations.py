"""Random damage to the bytes of a file: what disks, transfers, editors and attackers do to it."""

from __future__ import annotations

import random
from collections.abc import Callable

LONGEST = 64  # bytes that most mutations touch
BLOCK = 512  # bytes of a disk's sector
VALUES = (
    b"", b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b"\xff\xfe", b"\x00", b"99999999999999999999", b"3.0", b'"',
    b"'", b",", b";", b"\t", b"\r\n", b"\n\n", b"[", b"}", b"../", b"<b>", b"\xef\xbb\xbf", "\u0663".encode(), b"_",
)  # fmt: skip


def mutate(data: bytes, dice: random.Random) -> bytes:
    """The data with one to three mutations."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        data = dice.choice(MUTATIONS)(data, dice)
    return data


def _span(data: bytes, dice: random.Random, longest: int = LONGEST) -> tuple[int, int]:
    start = dice.randrange(len(data) + 1)
    return start, min(len(data), start + dice.randint(1, longest))


def _flip_bit(data: bytes, dice: random.Random) -> bytes:
    if not data:
        return data
    place = dice.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]


def _overwrite(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    return data[:start] + dice.randbytes(end - start) + data[end:]


def _clear_block(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice, BLOCK)
    return data[:start] + bytes(end - start) + data[end:]


def _delete(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    return data[:start] + data[end:]


def _repeat(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    return data[:end] + data[start:end] * dice.randint(1, 9) + data[end:]


def _truncate(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _insert_value(data: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(data) + 1)
    return data[:place] + dice.choice(VALUES) + data[place:]


def _replace_number(data: bytes, dice: random.Random) -> bytes:
    digits = [place for place, byte in enumerate(data[:20_000]) if 48 <= byte <= 57]
    if not digits:
        return _insert_value(data, dice)
    place = dice.choice(digits)
    return data[:place] + dice.choice(VALUES) + data[place + 1 :]


def _exchange(data: bytes, dice: random.Random) -> bytes:
    separators = (b",", b";", b"\t", b"\n", b"\r\n", b"=", b":", b" ", b".jpg", b".JPG", b'"')
    old, new = dice.sample(separators, 2)
    return data.replace(old, new, dice.choice((1, 3, -1)))


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip_bit, _overwrite, _clear_block, _delete, _repeat, _truncate, _insert_value, _replace_number, _exchange,
)  # fmt: skip
