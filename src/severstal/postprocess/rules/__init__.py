"""Rules of post-processing: how a probability map becomes a mask. Tuning, prediction and reports all use these.

Winners of the competition dropped small components, or small masks, or drew a mask at a low threshold and kept it by
its pixels above a high one; :class:`ExpectedDice` chooses a threshold for each map.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any

import numpy as np
from pydantic import Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema

from severstal.postprocess.classifier import UNUSED, ClassifierUse
from severstal.postprocess.rules.base import Cell, Rule
from severstal.postprocess.rules.component_area import ComponentArea
from severstal.postprocess.rules.dual_threshold import DualThreshold
from severstal.postprocess.rules.expected_dice import ExpectedDice
from severstal.postprocess.rules.mask_area import MaskArea

__all__ = [
    "DEFAULT",
    "RULES",
    "AnyRule",
    "Cell",
    "ComponentArea",
    "DualThreshold",
    "ExpectedDice",
    "MaskArea",
    "Rule",
    "RuleType",
    "masks_of",
    "parse",
    "plain_rule",
]

RuleType = type[Rule]
RULES: tuple[RuleType, ...] = (ComponentArea, MaskArea, DualThreshold, ExpectedDice)  # the simplest first
DEFAULT = ComponentArea(threshold=128, min_area=0)
PLAIN_AREA = 584  # px; 1 % of 4,100 masks of Severstal's are smaller


class _ByName:
    """Makes a field of type Rule read and write the class that its ``rule`` names."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(Annotated[reduce(or_, RULES), Field(discriminator="rule")])


AnyRule = Annotated[Rule, _ByName]
_adapter: TypeAdapter[Rule] = TypeAdapter(AnyRule)


def plain_rule(has_classifier: bool) -> Rule:
    """The rule that is chosen on no strips: what is more likely than not, pixel by pixel and by the classifier."""
    use = ClassifierUse(use="hard", min_probability=128) if has_classifier else UNUSED
    return MaskArea(threshold=128, min_area=PLAIN_AREA, classifier=use)


def parse(values: object) -> Rule:
    """The rule that ``model_dump`` wrote.

    Raises:
        pydantic.ValidationError: if the values are of no rule.
    """
    return _adapter.validate_python(values)


def masks_of(probability: np.ndarray, class_probability: np.ndarray, rules: Sequence[Rule]) -> np.ndarray:
    """Masks of a strip, bool ``[4, H, W]``, from the graph's two outputs, ``uint8 [4, H, W]`` and ``uint8 [4]``."""
    return np.stack(
        [rule.apply(*of_class) for rule, *of_class in zip(rules, probability, class_probability, strict=True)]
    )
