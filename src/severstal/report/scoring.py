"""What the run scores: in all, per class, per fold, and what each encoder adds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from severstal.data.labels import CLASSES
from severstal.errors import InputError
from severstal.paths import Paths
from severstal.postprocess.tuned_values import SCORES, TunedValues
from severstal.report.strip_study import Study

KEYS = ("mean", *map(str, CLASSES))


def read_strip_scores(paths: Paths) -> pd.DataFrame:
    """Tuning's table of every strip's Dice, indexed by strip.

    Raises:
        InputError: if it is missing or of another form.
    """
    cure = "make it with `bash bin/tune.sh`"
    try:
        frame = pd.read_csv(paths.strip_scores, dtype={"ImageId": str}).set_index("ImageId")
    except FileNotFoundError:
        raise InputError(f"{paths.strip_scores} is missing: {cure}") from None
    except (KeyError, ValueError) as error:
        raise InputError(f"{paths.strip_scores} cannot be read ({error}): delete it and {cure}") from None
    wanted = ["fold", *(f"{name}_{defect}" for name in SCORES for defect in CLASSES)]
    if list(frame.columns) != wanted:
        raise InputError(f"{paths.strip_scores}, line 1: the columns must be ImageId,{','.join(wanted)}: {cure}")
    return frame


def per_fold(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each fold its strips and its scores, in the form of the scores of all."""
    return [
        {"fold": int(fold), "strips": len(rows)} | {name: keyed(dices_of(rows, name).mean(axis=0)) for name in SCORES}
        for fold, rows in table.groupby("fold")
    ]


def dices_of(table: pd.DataFrame, name: str) -> np.ndarray:
    """One choice of values' Dice, ``float64 [strips, 4]``."""
    return table[[f"{name}_{defect}" for defect in CLASSES]].to_numpy()


def keyed(per_class: np.ndarray) -> dict[str, float]:
    """Mean and classes by name."""
    return dict(zip(KEYS, [float(per_class.mean()), *per_class.tolist()], strict=True))


def per_encoder(seen: Study, values: TunedValues) -> list[dict[str, Any]]:
    """Of each encoder: its weight in the mean, its Dice alone, the ensemble's without it, and what it adds.

    All by the tuned values of the whole ensemble, so an encoder alone is at a slight disadvantage.
    """
    together = float(seen.dice.mean())
    made = []
    for number, (encoder, weight) in enumerate(values.ensemble_weights.items()):
        without = seen.without[number]
        told = None if np.isnan(without).any() else float(without.mean())
        made.append(
            {
                "encoder": encoder,
                "weight": weight,
                "alone": float(seen.alone[number].mean()),
                "together": together,
                "without": told,
                "adds": None if told is None else together - told,
            }
        )
    return made
