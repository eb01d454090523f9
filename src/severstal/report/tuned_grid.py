"""The table of mean Dice that tuning wrote for the rule of a class."""

from __future__ import annotations

from typing import Any

import pandas as pd

from severstal.commands import command
from severstal.errors import InputError
from severstal.paths import Paths
from severstal.postprocess.rules import Rule


def read_grid(paths: Paths, defect: int, rule: Rule) -> pd.DataFrame:
    """Mean Dice over all training strips by the rule's horizontal axis (index) and vertical axis (columns).

    Raises:
        InputError: if the table is missing, damaged or of another rule.
    """
    path, remake = paths.grid_table(defect), command(paths, "tune")
    cure = f"delete it and run `{remake}`"
    try:
        frame = pd.read_csv(path, index_col=rule.horizontal().name)
        frame.columns = frame.columns.astype(int)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: delete {paths.strip_scores} and run `{remake}`") from None
    except ValueError as error:
        raise InputError(f"{path} cannot be read ({error}): {cure}") from None
    if frame.columns.tolist() != rule.vertical().values.tolist():
        raise InputError(f"{path}, line 1: the columns are not the values that tuning tries: {cure}")
    return frame


def grid_cells(grid: pd.DataFrame, rule: Rule) -> dict[str, dict[str, Any]]:
    """The values and the Dice of the best cell of the grid and of the chosen one."""
    row, column = divmod(int(grid.to_numpy().argmax()), grid.shape[1])
    names = rule.horizontal().name, rule.vertical().name
    best = int(grid.index[row]), int(grid.columns[column])
    chosen = getattr(rule, names[0]), getattr(rule, names[1])
    return {
        name: dict(zip(names, cell, strict=True)) | {"dice": float(grid.loc[cell])}
        for name, cell in (("best", best), ("chosen", chosen))
    }
