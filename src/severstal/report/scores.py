"""The scores of the run: per strip, per fold, and what each encoder contributes to the ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from severstal.commands import command
from severstal.data.labels import CLASSES
from severstal.errors import InputError
from severstal.paths import Paths
from severstal.postprocess.tuned_values import SCORE_KEYS, SCORES, TunedValues
from severstal.report.evaluation import Evaluation

LABELS = {"all_empty": "nothing predicted", "default": "threshold 0.5", "tuned": "tuned", "nested": "nested"}


def read_strip_scores(paths: Paths) -> pd.DataFrame:
    """Tuning's table of the Dice of every strip: indexed by strip, with columns ``fold``, ``nested_1`` and so on.

    Raises:
        InputError: if the table is missing or has other columns.
    """
    cure = f"make it with `{command(paths, 'tune')}`"
    try:
        frame = pd.read_csv(paths.strip_scores, dtype={"ImageId": str}).set_index("ImageId")
    except FileNotFoundError:
        raise InputError(f"{paths.strip_scores} is missing: {cure}") from None
    except (KeyError, ValueError) as error:
        raise InputError(f"{paths.strip_scores} cannot be read ({error}): delete it and {cure}") from None
    expected = ["fold", *(f"{name}_{defect}" for name in SCORES for defect in CLASSES)]
    if list(frame.columns) != expected:
        raise InputError(f"{paths.strip_scores}, line 1: the columns must be ImageId,{','.join(expected)}: {cure}")
    return frame


def scores_per_fold(strip_scores: pd.DataFrame) -> list[dict[str, Any]]:
    """For each fold the number of strips, and each of ``SCORES`` as a mean and per class."""
    return [
        {"fold": int(str(fold)), "strips": len(rows)} | {name: _mean_scores(rows, name) for name in SCORES}
        for fold, rows in strip_scores.groupby("fold")
    ]


def _mean_scores(strip_scores: pd.DataFrame, name: str) -> dict[str, float]:
    per_class = strip_scores[[f"{name}_{defect}" for defect in CLASSES]].to_numpy().mean(axis=0)
    return dict(zip(SCORE_KEYS, [float(per_class.mean()), *per_class.tolist()], strict=True))


def contribution_per_encoder(evaluation: Evaluation, values: TunedValues) -> list[dict[str, Any]]:
    """For each encoder its weight, its Dice alone, the Dice of the ensemble without it, and the difference it makes.

    All scores use the rules that were tuned for the complete ensemble, which is a slight disadvantage to its parts.
    """
    ensemble = float(evaluation.dice.mean())
    rows = []
    for number, (encoder, weight) in enumerate(values.ensemble_weights.items()):
        dice = evaluation.without_encoder_dice[number]
        without = None if np.isnan(dice).any() else float(dice.mean())
        rows.append(
            {
                "encoder": encoder,
                "weight": weight,
                "alone": float(evaluation.encoder_dice[number].mean()),
                "ensemble": ensemble,
                "without": without,
                "contribution": None if without is None else ensemble - without,
            }
        )
    return rows
