"""Tuned values on disk: a wrong one is named with its place, and with the command that tunes again."""

from __future__ import annotations

import pytest
from support.files import cut_in_half
from support.tuned import TUNED

from severstal.artifacts import write_json
from severstal.errors import InputError
from severstal.paths import Paths
from severstal.postprocess import tuned_values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": TUNED["rules"][:3]}, "rules"),
        (
            {"rules": [TUNED["rules"][0] | {"threshold": 0}, *TUNED["rules"][1:]]},
            r"rules\.0\.component_area\.threshold",
        ),
        (
            {"rules": [TUNED["rules"][0] | {"threshold": 256}, *TUNED["rules"][1:]]},
            r"rules\.0\.component_area\.threshold",
        ),
        ({"rules": [*TUNED["rules"][1:], TUNED["rules"][0] | {"min_area": -1}]}, r"rules\.3\.component_area\.min_area"),
        (
            {"rules": [*TUNED["rules"][1:], {"rule": "mask_area", "threshold": 9, "min_area": 1, "high_threshold": 8}]},
            r"rules\.3\.mask_area\.high_threshold",
        ),
        ({"ensemble_weights": {"resnet34": -1}}, r"ensemble_weights\.resnet34"),
        ({"scores": {"nested": {}}}, "scores.*must hold all_empty"),
        ({"treshold": 1}, "treshold"),
    ],
)
def test_wrong_tuned_values_are_named(tmp_path, change, message) -> None:
    paths = Paths(folds=tmp_path)
    file = paths.postprocess
    write_json(file, TUNED)
    assert tuned_values.read(paths).strips == 1
    write_json(file, TUNED | change)
    with pytest.raises(InputError, match=rf"postprocess\.json: {message}.*run `bash bin/tune\.sh"):
        tuned_values.read(paths)
    cut_in_half(file)
    with pytest.raises(InputError, match=r"no valid JSON.*run `bash bin/tune\.sh"):
        tuned_values.read(paths)
