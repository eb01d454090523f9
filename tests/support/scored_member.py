"""A network of random weights in a labelled experiment, exported and with its out-of-fold maps: nothing is trained."""

from __future__ import annotations

import os
from pathlib import Path

from severstal import recipe
from severstal.artifacts import write_json
from severstal.data import out_of_fold, strips
from severstal.data.training_set import read_training_set
from severstal.engines.onnx_export import write_onnx
from severstal.engines.torch_engine import TorchEngine
from severstal.experiment import Member
from severstal.paths import Paths
from severstal.postprocess.rules import ComponentArea
from support.experiments import SMALLEST, TINY, random_member, write_tiny

SIZE = (64, 96)
RULES = tuple(ComponentArea(threshold=threshold, min_area=4) for threshold in (136, 170, 201, 136))  # the maps' medians


def write_scored_member(root: Path) -> Member:
    """Fold 0 of an experiment of twelve strips in two folds."""
    paths = write_tiny(root)
    values = recipe.build({"name": "tiny"} | TINY | {"encoders": {SMALLEST: {}}})
    write_json(paths.recipe, values.model_dump())
    member = random_member(root, values, SMALLEST, SIZE, spread=1.6)
    write_out_of_fold(member)
    write_onnx(member)
    return member


def write_out_of_fold(member: Member) -> None:
    """The maps of its held-out strips, as validation writes them."""
    engine = TorchEngine.load(member)
    images = read_training_set(member.paths).images(member.fold, held_out=True)
    outputs = [engine(strips.read(member.paths.train_images / image, SIZE)[None]) for image in images]
    maps = ((image, output[0][0], output[1][0]) for image, output in zip(images, outputs, strict=True))
    out_of_fold.write(member.files.oof, maps, {})


def copy_member(member: Member, root: Path) -> Member:
    """The same network in a folder of its own, without engines."""
    copy = Member(Paths(member.paths.input, root / "folds", root / "submissions"), member.encoder, member.fold)
    copy.files.folder.mkdir(parents=True)
    for file in (member.files.config, member.files.weights, member.files.onnx, member.files.oof):
        os.link(file, copy.files.folder / file.name)
    for file in (member.paths.folds_csv, member.paths.recipe):
        os.link(file, copy.paths.folds / file.name)
    return copy
