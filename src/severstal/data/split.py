"""The split, ``folds/folds.csv``: every training strip is in one fold, near-duplicates in the same one.

Combinations of classes are spread evenly over the folds; where every combination is rarer than the folds, strips with
and without a defect are. The file is written once and then only read: another split would mean training every fold
again.
"""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from severstal.commands import command
from severstal.data.labels import CLASSES, Labels
from severstal.errors import InputError
from severstal.paths import Paths

COLUMNS = ["ImageId", "fold", "classes", "group"]


def assign_folds(labels: Labels, groups: np.ndarray, count: int, seed: int) -> pd.DataFrame:
    """Table of ``ImageId, fold, classes, group``, a row per strip, sorted by name.

    Args:
        groups: ``int64 [n]``, the group of near-duplicates of each strip in the order of their names.
        count: of folds.

    Raises:
        InputError: if there are fewer groups of strips than folds, or near-duplicates leave a fold empty.
    """
    images, unlike = sorted(labels), len(set(groups))
    if unlike < count:
        cure = "choose fewer (--num-folds)" if unlike > 1 else "add strips, as two folds are the least"
        raise InputError(f"{len(images)} strips, {unlike} unlike each other, cannot make {count} folds: {cure}")
    classes = [" ".join(str(defect) for defect in sorted(labels[image])) for image in images]
    for strata in (classes, [bool(combination) for combination in classes], [True] * len(images)):
        fold = _split(strata, groups, count, seed)
        if fold is not None:
            return pd.DataFrame({"ImageId": images, "fold": fold, "classes": classes, "group": groups})
    raise InputError(f"the near-duplicates among {len(images)} strips leave a fold empty: choose fewer (--num-folds)")


def _split(strata: list[Any], groups: np.ndarray, count: int, seed: int) -> np.ndarray | None:
    """The fold of each strip, ``int64 [n]``, each stratum spread evenly; None where all are rarer than the folds."""
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    if max(Counter(strata).values()) < count:
        return None
    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed)
    fold = np.zeros(len(strata), dtype=int)
    with warnings.catch_warnings():
        # scikit-learn warns of every combination that is rarer than the number of folds.
        warnings.filterwarnings("ignore", message="The least populated class")
        for k, (_, held_out) in enumerate(splitter.split(strata, strata, groups)):
            fold[held_out] = k
    return fold if len(set(fold)) == count else None


def describe_gaps(frame: pd.DataFrame) -> list[str]:
    """What the split cannot show, a line each: classes that no strip has, and folds that validate none of a class."""
    shows = {defect: frame["classes"].str.split().map(lambda shown, d=str(defect): d in shown) for defect in CLASSES}
    lines = []
    for defect, shown in shows.items():
        folds = sorted(set(frame["fold"]) - set(frame["fold"][shown]))
        if not shown.any():
            lines.append(f"no strip shows class {defect}: no network can learn it")
        elif folds:
            where = ", ".join(map(str, folds))
            lines.append(f"no strip of class {defect} is in fold {where}: the class's score there says nothing")
    if (frame["classes"] != "").all():
        lines.append("no strip is without a defect: how often the networks find defects that are none stays unknown")
    return lines


def read(paths: Paths) -> pd.DataFrame:
    """The frozen split.

    Raises:
        InputError: if it is missing or no table of :data:`COLUMNS`.
    """
    path, remake = paths.folds_csv, command(paths, "make_folds")
    cure = f"delete {path} and run `{remake}` (a new split means training every fold again)"
    try:
        frame = pd.read_csv(path, dtype={"ImageId": str, "fold": int, "classes": str}, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: make it with `{remake}`") from None
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
