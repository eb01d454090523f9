"""A finished run without training: maps with known errors, tuned by the real stage, and a submission."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from severstal import recipe
from severstal.artifacts import file_hash, fingerprint, replacing, write_json, write_text
from severstal.data import out_of_fold, rle
from severstal.data.rle import decode
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.engines import float32_layers
from severstal.experiment import FoldConfig, Member, all_members, current_versions
from severstal.inference import submission
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from support.commands import run_stage_in_process
from support.experiments import TINY, write_tiny, write_tiny_strips

ENCODERS = {"tu-mobilenetv4_conv_small": {}, "resnet18": {}}
MISSED, FALSE_ALARM = (
    f"{1:09x}.jpg",
    f"{0:09x}.jpg",
)  # a strip with class 2, which its map misses; a clean strip, whose map has class 3
TEST_DEFECT = np.zeros((64, 96), dtype=bool)
TEST_DEFECT[5:25, 30:70] = True


def write_finished(root: Path) -> Paths:
    """Twelve strips in two folds, two encoders, tuned; five test strips of which one has a defect of class 4."""
    paths = write_tiny(root)
    write_json(paths.recipe, recipe.build({"name": "tiny"} | TINY | {"encoders": ENCODERS}).model_dump())
    data, run_recipe = read_training_set(paths), recipe.read(paths)
    for shift, encoder in enumerate(ENCODERS):
        for member in all_members(paths, run_recipe):
            if member.encoder == encoder:
                _write_member(member, data, run_recipe, shift)
    run_stage_in_process("tune", paths)
    write_tiny_strips(paths.test_images, 5)
    write_submission(paths)
    return paths


def map_of(image: str, data: TrainingSet, shift: int) -> np.ndarray:
    """Probabilities of a good network, ``uint8 [4, 64, 96]``, with the two known errors."""
    noise = np.random.default_rng([int(image[:9], 16), shift])
    probability = noise.integers(0, 40, (4, 64, 96), dtype=np.uint8)
    for defect, code in data.labels[image].items():
        if image != MISSED:
            probability[defect - 1][np.roll(decode(code, 64, 96), 2 * shift, axis=1)] = 230
    if image == FALSE_ALARM:
        probability[2, 10:50, 10:50] = 240
    return probability


def write_submission(paths: Paths) -> None:
    """A submission with the tuned values, and its record."""
    images = [f"{number:09x}.jpg" for number in range(5)]
    codes = {image: [""] * 4 for image in images}
    codes[images[2]][3] = rle.encode(TEST_DEFECT)
    with replacing(paths.submission) as temporary:
        submission.write(temporary, submission.Form(images, submission.DEFAULT_COLUMNS), codes)
    values = tuned_values.read(paths)
    record = {
        "submission": file_hash(paths.submission),
        "engine": "openvino",
        "members": values.members,
        "ensemble_weights": values.ensemble_weights,
        "rules": [rule.model_dump(exclude_none=True) for rule in values.rules],
        "strips_per_second": 12.5,
        "corrupt": {},
        "score": None,
    }
    write_json(paths.submission_report, record)


def _write_member(member: Member, data: TrainingSet, run_recipe: recipe.Recipe, shift: int) -> None:
    files, held_out = member.files, data.images(member.fold, held_out=True)
    config = FoldConfig(
        encoder=member.encoder,
        fold=member.fold,
        recipe=run_recipe.for_encoder(member.encoder),
        data=data.fingerprint,
        synthetic=False,
        height=64,
        width=96,
        mean=0.4,
        std=0.2,
        versions=current_versions(),
    )
    write_json(files.config, config.model_dump())
    write_text(files.weights, f"weights of {member.name}")
    meta = {"weights": file_hash(files.weights), "tta": ["horizontal"], "held_out": fingerprint(held_out)}
    maps = ((image, map_of(image, data, shift)) for image in held_out)
    out_of_fold.write(
        files.oof, ((image, probability, probability.max(axis=(1, 2))) for image, probability in maps), meta
    )
    seconds = {"train_seconds": 6.0, "validation_seconds": 1.5}
    epochs = [
        {"epoch": epoch, "loss": 0.5 / epoch, "dice": 0.7 + 0.05 * (epoch % 3) + shift / 100} | seconds
        for epoch in (1, 2, 3)
    ]
    write_text(files.log, "".join(json.dumps(line) + "\n" for line in epochs))
    write_text(files.onnx, f"graph of {member.name}")
    parity = {"strips": 4, "largest": 1 + shift, "mean": 0.002, "flipped": 1e-5}
    write_json(files.sidecar("openvino"), {"engine": "openvino", "onnx": file_hash(files.onnx), "parity": parity})
    if shift:  # one encoder's engines keep layers in float32, as int8 engines do
        float32_layers.write(member, "openvino", "int8", 0.01, ["node_first", "node_last"])
    write_json(files.sidecar("torch"), {"engine": "torch", "onnx": "of an earlier export", "parity": parity})
