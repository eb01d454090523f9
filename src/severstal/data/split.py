"""The split: every training strip in one fold, combinations of classes spread evenly, near-duplicates together."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from severstal.data import strips
from severstal.data.labels import Labels
from severstal.errors import InputError

COLUMNS = ["ImageId", "fold", "classes", "group"]
THUMBNAIL = (200, 32)  # width, height
ALIKE = 0.9  # correlation of two thumbnails from which their strips count as one; see the README's notes
BLOCK = 2048  # thumbnails compared at once: 16 MB of correlations


def thumbnail(strip: np.ndarray) -> np.ndarray:
    """What is left of a strip without its lighting: ``float32 [n]``, mean 0, length 1 (0 for a blank strip).

    Row and column means go first: uneven lighting and black bars make strangers look alike.
    """
    small = cv2.resize(strip, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean(axis=0, keepdims=True)
    small -= small.mean(axis=1, keepdims=True)
    return small.ravel() / max(float(np.linalg.norm(small)), 1e-6)


def near_duplicates(thumbnails: np.ndarray) -> np.ndarray:
    """Group of every strip, ``int64 [n]``: strips linked by a chain of near-duplicates share one.

    Args:
        thumbnails: ``float32 [n, d]`` of :func:`thumbnail`.
    """
    # SciPy and scikit-learn take a second to import; the other stages only read the finished split.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(thumbnails)
    left, right = [], []
    for start in range(0, count, BLOCK):
        rows, columns = np.nonzero(thumbnails[start : start + BLOCK] @ thumbnails.T > ALIKE)
        left.append(rows + start)
        right.append(columns)
    i, j = np.concatenate(left), np.concatenate(right)
    links = coo_matrix((np.ones(len(i), dtype=bool), (i, j)), shape=(count, count))
    return connected_components(links, directed=False)[1]


def have_near_duplicates(thumbnails: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which strips are near-duplicates of one of the others, ``bool [n]``."""
    parts = [thumbnails[start : start + BLOCK] for start in range(0, len(thumbnails), BLOCK)]
    return np.concatenate([(part @ others.T > ALIKE).any(axis=1) for part in parts])


def thumbnails_of(folder: Path, images: list[str], height: int, width: int, workers: int) -> np.ndarray:
    """The strips' thumbnails, ``float32 [n, d]``, having decoded every one.

    Raises:
        InputError: naming the first strip that is damaged or of another size.
    """
    jobs = (delayed(_thumbnail_of)(folder / image, height, width) for image in images)
    return np.stack(Parallel(n_jobs=workers, prefer="threads")(jobs))


def scan(folder: Path, images: list[str], workers: int) -> tuple[int, int, np.ndarray]:
    """Height and width of the strips and the group of each, having decoded every one.

    Raises:
        InputError: naming the first strip that is damaged or of another size than the first.
    """
    height, width = strips.read(folder / images[0]).shape
    return height, width, near_duplicates(thumbnails_of(folder, images, height, width, workers))


def split(labels: Labels, groups: np.ndarray, count: int, seed: int) -> pd.DataFrame:
    """Table of ``ImageId, fold, classes, group``, a row per strip, sorted by name.

    Raises:
        InputError: if there are fewer groups of strips than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    images = sorted(labels)
    if len(set(groups)) < count:
        raise InputError(f"{len(set(groups))} unlike strips cannot make {count} folds: choose fewer (--num-folds)")
    classes = [" ".join(str(defect) for defect in sorted(labels[image])) for image in images]
    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed)
    fold = np.zeros(len(images), dtype=int)
    with warnings.catch_warnings():
        # A combination rarer than the number of folds cannot be in each; scikit-learn says so every time.
        warnings.filterwarnings("ignore", message="The least populated class")
        for k, (_, held_out) in enumerate(splitter.split(images, classes, groups)):
            fold[held_out] = k
    return pd.DataFrame({"ImageId": images, "fold": fold, "classes": classes, "group": groups})


def read(path: Path) -> pd.DataFrame:
    """The frozen split.

    Raises:
        InputError: if it is missing or no table of :data:`COLUMNS`.
    """
    cure = f"delete {path} and run `bash bin/make_folds.sh` (a new split means training every fold again)"
    try:
        frame = pd.read_csv(path, dtype={"ImageId": str, "fold": int, "classes": str}, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: make it with `bash bin/make_folds.sh`") from None
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path} cannot be read ({error}): {cure}") from None
    if list(frame.columns) != COLUMNS:
        raise InputError(f"{path}, line 1: the columns must be {','.join(COLUMNS)}: {cure}")
    twice = frame["ImageId"].duplicated()
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise InputError(f"{path}, line {row + 2}: {frame['ImageId'][row]} stands there twice: {cure}")
    return frame


def check_covers(frame: pd.DataFrame, path: Path, images: list[str]) -> None:
    """Raise if the split and the images differ: it is frozen, and never silently made anew."""
    lacking = sorted(set(images) - set(frame["ImageId"]))
    gone = sorted(set(frame["ImageId"]) - set(images))
    if lacking or gone:
        what = f"lacks {lacking[0]}" if lacking else f"names {gone[0]}, which is not in the folder"
        raise InputError(
            f"{path} {what} ({len(lacking)} strips are new, {len(gone)} are gone). The split is frozen: restore "
            f"the images, choose another --folds folder, or delete {path} to split anew and train every fold again"
        )


def check_count(frame: pd.DataFrame, path: Path, count: int) -> None:
    """Raise if the split's folds are not 0 to ``count - 1``: a fold of nobody would be left out unseen."""
    found = sorted(frame["fold"].unique().tolist())
    if found != list(range(count)):
        raise InputError(
            f"{path} has {len(found)} folds ({found[0]} to {found[-1]}) and the recipe asks for {count}. The split is "
            f"frozen: choose another --folds folder, or delete {path} to split anew and train every fold again"
        )


def _thumbnail_of(path: Path, height: int, width: int) -> np.ndarray:
    return thumbnail(strips.read_sized(path, height, width))
