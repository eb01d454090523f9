"""The split, ``folds/folds.csv``: every training strip is in one fold, near-duplicates in the same one.

Combinations of classes are spread evenly over the folds. The file is written once and then only read: another split
would mean training every fold again.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from severstal.data.labels import Labels
from severstal.errors import InputError

COLUMNS = ["ImageId", "fold", "classes", "group"]


def assign_folds(labels: Labels, groups: np.ndarray, count: int, seed: int) -> pd.DataFrame:
    """Table of ``ImageId, fold, classes, group``, a row per strip, sorted by name.

    Args:
        groups: ``int64 [n]``, the group of near-duplicates of each strip in the order of their names.
        count: of folds.

    Raises:
        InputError: if there are fewer groups of strips than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    images = sorted(labels)
    if len(set(groups)) < count:
        raise InputError(f"{len(set(groups))} unlike strips cannot make {count} folds: choose fewer (--num-folds)")
    classes = [" ".join(str(defect) for defect in sorted(labels[image])) for image in images]
    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed)
    fold = np.zeros(len(images), dtype=int)
    with warnings.catch_warnings():
        # scikit-learn warns of every combination that is rarer than the number of folds.
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
    repeated = frame["ImageId"].duplicated()
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        raise InputError(f"{path}, line {row + 2}: {frame['ImageId'][row]} has a row already: {cure}")
    return frame


def check_covers(frame: pd.DataFrame, path: Path, images: list[str]) -> None:
    """Raise if the split and the images differ: the split is frozen and is never replaced without being asked for."""
    added = sorted(set(images) - set(frame["ImageId"]))
    gone = sorted(set(frame["ImageId"]) - set(images))
    if added or gone:
        what = f"lacks {added[0]}" if added else f"names {gone[0]}, which is not in the folder"
        raise InputError(
            f"{path} {what} ({len(added)} strips are new, {len(gone)} are gone). The split is frozen: restore "
            f"the images, choose another --folds folder, or delete {path} to split anew and train every fold again"
        )


def check_count(frame: pd.DataFrame, path: Path, count: int) -> None:
    """Raise if the split's folds are not 0 to ``count - 1``: strips of a fold that nobody validates would be lost."""
    found = sorted(frame["fold"].unique().tolist())
    if found != list(range(count)):
        raise InputError(
            f"{path} has {len(found)} folds ({found[0]} to {found[-1]}) and the recipe asks for {count}. The split is "
            f"frozen: choose another --folds folder, or delete {path} to split anew and train every fold again"
        )
