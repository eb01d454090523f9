"""The content of a postprocess.json that is right."""

from __future__ import annotations

from severstal.postprocess import tuned_values

TUNED = {
    "members": {}, "ensemble_weights": {}, "intervals": {}, "strips": 1,
    "rules": [{"rule": "component_area", "threshold": 128, "min_area": 0}] * 4,
    "scores": {name: dict.fromkeys(("mean", "1", "2", "3", "4"), 0.5) for name in tuned_values.SCORES},
}  # fmt: skip  # fmt: skip
