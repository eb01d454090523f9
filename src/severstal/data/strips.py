"""Grey strips from JPEG files; damaged files are refused by name.

A decoder fills the missing part of a truncated JPEG with grey and only prints a warning: such a strip would be trained
on, and predicted, as clean. So the end marker is checked before decoding.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from severstal.errors import InputError

SUFFIXES = (".jpg", ".jpeg")
OTHER_IMAGES = (".png", ".bmp", ".tif", ".tiff", ".webp")
START, SCAN, END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"


def listing(folder: Path) -> list[str]:
    """Names of the strips in a folder, sorted.

    Raises:
        InputError: if the folder is missing, holds no JPEG, or holds images of another format.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: put the strips (JPEG files) there, or name another with --input")
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    other = [name for name in names if name.lower().endswith(OTHER_IMAGES)]
    if other:
        raise InputError(f"{folder / other[0]} is no JPEG: convert it, for example with `mogrify -format jpg`")
    strips = [name for name in names if name.lower().endswith(SUFFIXES)]
    if not strips:
        raise InputError(f"{folder} holds no .jpg file: put the strips there, or name another folder with --input")
    return strips


def read(path: Path) -> np.ndarray:
    """One strip, ``uint8 [H, W]``.

    Raises:
        InputError: if the file is missing, empty, cut short or no JPEG.
    """
    try:
        return decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: restore it, or remove its rows from the table") from None


def decode(data: bytes, name: str) -> np.ndarray:
    """A strip ``uint8 [H, W]`` from the content of a JPEG file, decoded as grey: its three channels are equal.

    Args:
        name: of the file, for messages.

    Raises:
        InputError: naming the file, if it is empty, cut short or no JPEG.
    """
    _check_complete(name, data)
    try:
        strip = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # a damaged header with more pixels than OpenCV accepts
        strip = None
    if strip is None:
        raise InputError(f"{name} cannot be decoded as JPEG: copy or download it again")
    return strip


def read_sized(path: Path, height: int, width: int) -> np.ndarray:
    """One strip of the data set's size, ``uint8 [height, width]``.

    Raises:
        InputError: as :func:`read`, and if the strip has another size.
    """
    return sized(read(path), str(path), height, width)


def sized(strip: np.ndarray, name: str, height: int, width: int) -> np.ndarray:
    """The strip unchanged, if it has the data set's size.

    Raises:
        InputError: naming the file and both sizes, if it has another.
    """
    if strip.shape != (height, width):
        raise InputError(
            f"{name} is {strip.shape[0]}x{strip.shape[1]} pixels (height x width) where {height}x{width} is "
            "expected: all strips of a data set and of its networks have one size; resize or remove it"
        )
    return strip


def steel_columns(strip: np.ndarray, dark: float = 20) -> tuple[int, int]:
    """First and past-the-last column of the steel; a black bar at the left or right edge shows no steel.

    Args:
        strip: ``uint8 [H, W]``.
        dark: mean grey level up to which a column belongs to the bar.
    """
    bright = np.flatnonzero(strip.mean(axis=0) > dark)
    return (int(bright[0]), int(bright[-1]) + 1) if bright.size else (0, strip.shape[1])


def _check_complete(name: str, data: bytes) -> None:
    if not data:
        raise InputError(f"{name} is empty (0 bytes): copy or download it again")
    if not data.startswith(START):
        raise InputError(f"{name} is no JPEG (it starts with {data[:4].hex(' ')}): replace it with a JPEG file")
    # Compressed data never contain 0xff 0xd9, so an end marker after the start of the last scan is the end of the file.
    if data.rfind(END) < data.rfind(SCAN) or SCAN not in data:
        raise InputError(f"{name} is cut short ({len(data)} bytes, no end of image): copy or download it again")
