"""Near-duplicate strips: the same steel photographed twice, found by the correlation of small thumbnails.

Near-duplicates have to be in the same fold: a network that was trained on one would be validated on the other.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from severstal.data import strips

THUMBNAIL = (200, 32)  # width, height
MIN_CORRELATION = 0.9  # of the thumbnails of two near-duplicates
BLOCK = 2048  # thumbnails compared at once: 16 MB of correlations per 2048 of them
RUN = 8  # pixels of a thumbnail that one number of its sketch stands for
ROUNDING = 1e-4  # that a bound may lack
FEW = 64  # candidates are compared one by one where they are fewer than one of so many pairs
PAIRS = 1024  # compared at once: 52 MB


def thumbnail(strip: np.ndarray) -> np.ndarray:
    """A small picture of a strip without its lighting: ``float32 [n]``, mean 0, length 1 (0 for a blank strip).

    The means of rows and columns are subtracted: uneven lighting and black bars correlate between unrelated strips.

    Args:
        strip: ``uint8 [H, W]``.
    """
    small = cv2.resize(strip, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean(axis=0, keepdims=True)
    small -= small.mean(axis=1, keepdims=True)
    return small.ravel() / max(float(np.linalg.norm(small)), 1e-6)


def read_thumbnails(folder: Path, images: list[str], height: int, width: int, workers: int) -> np.ndarray:
    """The strips' thumbnails, ``float32 [n, d]``; every strip is decoded.

    Raises:
        InputError: naming the first strip that is corrupt or of another size.
    """
    jobs = (delayed(_read_thumbnail)(folder / image, height, width) for image in images)
    thumbnails = np.empty((len(images), THUMBNAIL[0] * THUMBNAIL[1]), dtype=np.float32)
    # One by one: a list of them beside the array would take the memory twice, 300 MB for the competition's strips.
    for row, found in enumerate(Parallel(n_jobs=workers, prefer="threads", return_as="generator")(jobs)):
        thumbnails[row] = found
    return thumbnails


def groups_of(thumbnails: np.ndarray) -> np.ndarray:
    """Group of every strip, ``int64 [n]``: strips linked by a chain of near-duplicates are in one group.

    Args:
        thumbnails: ``float32 [n, d]`` of :func:`thumbnail`.
    """
    # SciPy takes a second to import, and the other stages only read the finished split.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(thumbnails)
    left, right = [], []
    for start in range(0, count, BLOCK):  # with those from there on: every pair is compared once
        rows, columns = _near_pairs(thumbnails[start : start + BLOCK], thumbnails[start:])
        left.append(rows + start)
        right.append(columns + start)
    i, j = np.concatenate(left), np.concatenate(right)
    links = coo_matrix((np.ones(len(i), dtype=bool), (i, j)), shape=(count, count))
    return connected_components(links, directed=False)[1]


def has_near_duplicate(thumbnails: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which strips are near-duplicates of one of the others, ``bool [n]``.

    Args:
        thumbnails, others: ``float32 [n, d]`` and ``float32 [m, d]`` of :func:`thumbnail`.
    """
    found = np.zeros(len(thumbnails), dtype=bool)
    for start in range(0, len(thumbnails), BLOCK):
        found[start + _near_pairs(thumbnails[start : start + BLOCK], others)[0]] = True
    return found


def scan(folder: Path, images: list[str], workers: int) -> tuple[int, int, np.ndarray]:
    """Height and width of the strips and the group of each, ``int64 [n]``; every strip is decoded.

    Raises:
        InputError: naming the first strip that is corrupt or of another size than the first.
    """
    height, width = strips.read(folder / images[0]).shape
    return height, width, groups_of(read_thumbnails(folder, images, height, width, workers))


def _near_pairs(thumbnails: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of near-duplicates: their rows in ``float32 [n, d]`` and in ``float32 [m, d]``, ``int64 [k]`` each.

    Sketches of an eighth of the length rule out nearly all pairs; the others are compared in full.
    """
    rows, columns = np.nonzero(_sketches(thumbnails) @ _sketches(others).T > MIN_CORRELATION - ROUNDING)
    if len(rows) * FEW > len(thumbnails) * len(others):  # one product of all takes less time than so many pairs
        rows, columns = np.nonzero(thumbnails @ others.T > MIN_CORRELATION)
        return rows, columns
    near = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(rows), PAIRS):
        pairs = slice(start, start + PAIRS)
        near[pairs] = np.einsum("kd,kd->k", thumbnails[rows[pairs]], others[columns[pairs]]) > MIN_CORRELATION
    return rows[near], columns[near]


def _sketches(thumbnails: np.ndarray) -> np.ndarray:
    """Short vectors whose products are never less than those of the thumbnails, ``float32 [n, d / RUN + 1]``.

    A thumbnail is the sum of its means over runs of pixels and a remainder. The remainders are orthogonal to the means,
    and their product is at most that of their lengths (Cauchy-Schwarz), which stand in the last column.
    """
    starts = np.arange(0, thumbnails.shape[1], RUN)
    lengths = np.diff(np.append(starts, thumbnails.shape[1]))
    means = np.add.reduceat(thumbnails, starts, axis=1) / np.sqrt(lengths, dtype=np.float32)
    squares = np.einsum("nd,nd->n", thumbnails, thumbnails) - np.einsum("nd,nd->n", means, means)
    return np.column_stack((means, np.sqrt(np.maximum(squares, 0))))


def _read_thumbnail(path: Path, height: int, width: int) -> np.ndarray:
    return thumbnail(strips.read(path, (height, width)))
