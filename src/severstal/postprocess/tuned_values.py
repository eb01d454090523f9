"""What tuning chose: ``folds/postprocess.json``, written by the tune stage and read by every later one."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from severstal.artifacts import read_model
from severstal.commands import command
from severstal.data.labels import CLASSES
from severstal.paths import Paths
from severstal.postprocess.rules import AnyRule

SCORES = ("all_empty", "default", "tuned", "nested")
SCORE_KEYS = ("mean", *map(str, CLASSES))  # of each score

WeightsByEncoder = dict[str, Annotated[int, Field(ge=0)]]
RulePerClass = tuple[AnyRule, AnyRule, AnyRule, AnyRule]


class Choice(BaseModel):
    """One complete choice: the weight of each encoder's maps in their mean, and each class's rule."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    ensemble_weights: WeightsByEncoder
    rules: RulePerClass


class TunedValues(Choice):
    """What the file holds: the choice for prediction, what it is worth, and what it was made from."""

    cached_from: dict[str, Any] = Field({}, description="the maps and labels that the values were tuned on")
    members: dict[str, str] = Field(description="hash of each member's weights")
    scores: dict[str, dict[str, float]] = Field(description="all_empty, default, tuned, nested: mean and per class")
    intervals: dict[str, dict[str, tuple[float, float]]] = Field(
        description="95 % of bootstrap resamples of the strips: of each score, and of gain: nested less default"
    )
    strips: int
    nested: tuple[Choice, ...] = Field(
        (), description="for each fold, the choice made without its strips: it gives the fold's nested score"
    )

    @field_validator("scores")
    @classmethod
    def _holds_every_score(cls, scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        if not all(set(SCORE_KEYS) <= set(scores.get(name, ())) for name in SCORES):
            raise ValueError(f"must hold {', '.join(SCORES)}, each with its mean and the four classes")
        return scores


def read(paths: Paths) -> TunedValues:
    """The tuned values.

    Raises:
        InputError: if they are missing or not what tuning writes.
    """
    return read_model(paths.postprocess, TunedValues, command(paths, "tune"))
