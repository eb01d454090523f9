"""Export networks: PyTorch -> ONNX -> onnx-simplifier -> the engine of this machine, each checked on real strips.

Reads folds/<encoder>/<fold>/weights.safetensors and config.json, folds/postprocess.json, and some of the fold's
validation strips; writes model.onnx, the engine's own file where it has one, and model.<engine>.json beside them.

    bash bin/export.sh                   every network of the recipe
    bash bin/export.sh resnet34 3        one network
"""

from __future__ import annotations

import numpy as np

from severstal import recipe
from severstal.artifacts import Artifact, file_hash
from severstal.console import Stage, parser, paths_of
from severstal.data import strips
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.engines import base as engines
from severstal.engines import float32_layers, onnx_file
from severstal.engines.dice_check import FoldDice
from severstal.errors import run_stage
from severstal.experiment import Member, all_members, select
from severstal.postprocess import tuned_values
from severstal.postprocess.tuned_values import Rule

STRIPS = 8  # per fold, in the comparison with PyTorch


def main() -> None:
    made = parser(__doc__)
    made.add_argument("encoder", nargs="?", help="export only this encoder")
    made.add_argument("fold", nargs="?", type=int, help="export only this fold")
    made.add_argument("--engine", default="auto", help=f"auto, {', '.join(engines.RUNTIMES)}")
    options = made.parse_args()
    paths = paths_of(options)
    stage = Stage("export", paths)
    chosen = recipe.read(paths.recipe)
    selected = select(all_members(paths, chosen), chosen, options.encoder, options.fold)
    engine = engines.choose(options.engine)
    stage.say(f"engine {engine}")
    rules = tuned_values.read(paths.postprocess).rules
    data = read_training_set(paths)
    for member in selected:
        artifact = engine_artifact(member, engine)
        if not stage.is_cached(artifact):
            export(stage, artifact, member, engine, data, rules)
    stage.done()


def engine_artifact(member: Member, engine: str) -> Artifact:
    """The ONNX file of the fold's weights, and the record that the engine was checked against them."""
    return Artifact(member.files.sidecar(engine), onnx_file.identity(member), files=(member.files.onnx,))


def export(
    stage: Stage, artifact: Artifact, member: Member, engine: str, data: TrainingSet, rules: tuple[Rule, ...]
) -> None:
    from severstal.engines import export
    from severstal.engines.onnxruntime_engine import OnnxRuntimeEngine

    row, sample, thresholds = (
        engines.RUNTIMES[engine],
        validation_sample(member, data),
        [rule.threshold for rule in rules],
    )
    reference = engines.runtime("torch").load(member)
    before, after = export.write_onnx(member)
    parity = export.compare(reference, OnnxRuntimeEngine(str(member.files.onnx)), sample, thresholds)
    export.check_parity(f"{member.name}: the ONNX file", parity, engines.FLOAT32)
    stage.say(f"{member.name}: {before} nodes, simplified to {after}; ONNX {parity}")
    runtime, fold = engines.runtime(engine), FoldDice(member, data, rules) if row.reduced else None
    runtime.build(member, fold)
    built = runtime.load(member)
    parity = export.compare(reference, built, sample, thresholds)
    export.check_parity(f"{member.name}: engine {engine}", parity, row.tolerance)
    stage.say(f"{member.name}: {engine} {parity}")
    record = {
        "engine": engine,
        "onnx": file_hash(member.files.onnx),
        "thresholds": thresholds,
        "parity": parity.as_json(),
    }
    if fold is not None:
        record["dice"] = export.check_dice(f"{member.name}: engine {engine}", fold, built)
        stage.say(f"{member.name}: {engine} {told(record['dice'])}")
        kept = float32_layers.read(member, engine)
        if kept is not None:
            stage.say(f"{member.name}: {engine}, {float32_layers.told(kept)}")
    artifact.write_record(record)
    stage.wrote(member.files.onnx, member.files.sidecar(engine))


def told(dice: dict[str, float]) -> str:
    return f"Dice {dice['engine']:.5f}, PyTorch's {dice['pytorch']:.5f}, over {dice['strips']} held-out strips"


def validation_sample(member: Member, data: TrainingSet) -> np.ndarray:
    """Some of the fold's own validation strips, those with defects first, ``uint8 [n, H, W]``."""
    images = data.images(member.fold, held_out=True)
    images.sort(key=lambda image: -len(data.labels[image]))
    return np.stack([strips.read(data.paths.train_images / image) for image in images[:STRIPS]])


if __name__ == "__main__":
    run_stage(main)
