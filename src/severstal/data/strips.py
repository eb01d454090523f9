"""Grey strips from the image files of a folder; a corrupt file is refused by name (see :mod:`severstal.data.images`).

A decoder fills the missing part of a truncated JPEG with grey and only prints a warning: such a strip would be trained
on, and predicted, as clean.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path

import numpy as np

from severstal.data import images
from severstal.data.images import format_of
from severstal.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
OTHER_SUFFIXES = (".webp", ".gif", ".jp2", ".heic", ".avif", ".dng")
UNREADABLE = ("Cc", "Cs", "Zl", "Zp")  # Unicode categories; in a file's name a surrogate is a byte that is no UTF-8
UNLABELLED = "move those that nobody looked at to test_images/, where bin/predict.sh and bin/pseudo.sh use them"
MAX_BYTES = images.MAX_BYTES_PER_PIXEL * images.MAX_PIXELS  # of a file


def listing(folder: Path) -> list[str]:
    """Names of the strips in a folder, sorted: files with the ending of an image, and others that start like one.

    Raises:
        InputError: if the folder is missing, holds no image, an image of a format that is not read, or one whose name
            a table cannot hold.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: put the strips (image files) there, or name another with --input")
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and not entry.is_dir())
    strips = [name for name in names if _is_strip(folder / name)]
    for name in strips:
        _check_name(folder, name)
    if not strips:
        raise InputError(
            f"{folder} holds no image ({', '.join(SUFFIXES)}): put the strips there, or name another with --input"
        )
    return strips


def read(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """One strip, ``uint8 [H, W]``.

    Args:
        size: height and width that it must have; they are compared before its pixels are decoded.

    Raises:
        InputError: as :func:`severstal.data.images.decode`, and if the file is missing or no ordinary file.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path} is no ordinary file: replace it with an image")
        if found.st_size > MAX_BYTES:
            raise InputError(f"{path} has {found.st_size >> 20} MB, too many for a strip: cut it into strips")
        return images.decode(path.read_bytes(), str(path), size)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: restore it, or remove its rows from the table") from None


def brightest_of_deep(folder: Path, names: list[str], limit: int = 50) -> int | None:
    """Brightest level, of 255, of evenly chosen strips with more than 8 bits per pixel; None where they have 8.

    Cameras of 13 or 14 bits often write files of 16 bits whose upper bits stay 0.
    """
    if images.bits_of((folder / names[0]).read_bytes()) <= 8:
        return None
    chosen = np.unique(np.linspace(0, len(names) - 1, min(limit, len(names))).astype(int))
    return max(int(read(folder / names[i]).max()) for i in chosen)


def steel_columns(strip: np.ndarray, dark: float = 20) -> tuple[int, int]:
    """First and past-the-last column of the steel; a black bar at the left or right edge shows no steel.

    Args:
        strip: ``uint8 [H, W]``.
        dark: mean grey level up to which a column belongs to the bar.
    """
    bright = np.flatnonzero(strip.mean(axis=0) > dark)
    return (int(bright[0]), int(bright[-1]) + 1) if bright.size else (0, strip.shape[1])


def _is_strip(path: Path) -> bool:
    """Whether a file is an image to read, by its ending or, where that says nothing, by its content.

    Raises:
        InputError: if its ending is that of an image format that is not read.
    """
    suffix = path.suffix.lower()
    if suffix in OTHER_SUFFIXES:
        raise InputError(
            f"{path} is no JPEG, PNG, BMP or TIFF: convert it, for example with `mogrify -format png`, and remove it"
        )
    if suffix in SUFFIXES:
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return format_of(file.read(8)) is not None


def _check_name(folder: Path, name: str) -> None:
    """Raise if a strip's name cannot stand in a table or on a line of the terminal."""
    if any(unicodedata.category(letter) in UNREADABLE for letter in name):
        shown = name.encode("unicode_escape").decode()
        raise InputError(
            f"{folder}: the name '{shown}' of a strip holds a line break, a control character or bytes that are no "
            "UTF-8: rename the file, for example with `detox` or `convmv`"
        )
