"""A run of networks with random weights, exported to ONNX, with values that let them draw something."""

from __future__ import annotations

from pathlib import Path

from severstal import recipe
from severstal.artifacts import write_json
from severstal.engines import onnx_export
from severstal.experiment import FoldConfig, all_members
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.rules import ComponentArea, MaskArea
from severstal.postprocess.tuned_values import SCORES, TunedValues
from support.experiments import SMALLEST, TINY, write_random_weights, write_tiny, write_tiny_strips

NEVER = MaskArea(threshold=255, min_area=64 * 96 + 1)
THRESHOLDS = (220, 165, 165)  # about the means of the medians of both networks' maps
RULES = (*(ComponentArea(threshold=threshold, min_area=9) for threshold in THRESHOLDS), NEVER)
KEYS = ("mean", "1", "2", "3", "4")


def write_exported(root: Path) -> Paths:
    """Two networks for 64x96 strips, without test-time flips to halve the time of export; three test strips."""
    paths = write_tiny(root)
    chosen = recipe.build({"name": "tiny"} | TINY | {"encoders": {SMALLEST: {}}, "tta": []})
    write_json(paths.recipe, chosen.model_dump())
    members = all_members(paths, chosen)
    for member in members:
        config = FoldConfig(
            encoder=member.encoder,
            fold=member.fold,
            recipe=chosen.for_encoder(member.encoder),
            data="d",
            synthetic=False,
            height=64,
            width=96,
            mean=0.5,
            std=0.2,
            versions={},
        )
        write_random_weights(member, config)
        onnx_export.write_onnx(member)
    values = TunedValues(
        members={member.name: member.weights_hash() for member in members},
        ensemble_weights=dict.fromkeys(chosen.encoders, 1),
        rules=RULES,
        scores={name: dict.fromkeys(KEYS, 0.5) for name in SCORES},
        intervals={name: dict.fromkeys(KEYS, (0.4, 0.6)) for name in (*SCORES, "gain")},
        strips=12,
    )
    write_json(paths.postprocess, values.model_dump(exclude_none=True))
    write_tiny_strips(paths.test_images, 3)
    assert tuned_values.read(paths) == values
    return paths
