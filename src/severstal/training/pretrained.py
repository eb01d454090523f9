"""Fine-tuning from another experiment's folds, without a leak: no fold learns from what it is validated on.

A fold starts from a network of the same encoder that learned from none of the fold's own validation strips, neither
itself nor any network that it started from. File names are compared first, and before a training the pictures too:
near-duplicates under other names are found where the other experiment's strips are still at hand.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from severstal.artifacts import file_hash
from severstal.commands import command
from severstal.data import near_duplicates, pseudo_labels, split
from severstal.data.training_set import TrainingSet
from severstal.errors import InputError
from severstal.experiment import Member, Pretrained
from severstal.hardware import core_count
from severstal.paths import Paths, PseudoPaths
from severstal.recipe import NO_PSEUDO_LABELS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSource:
    """Strips that a network learned from.

    Attributes:
        folder: where they lay.
        images: their names.
        size: their height and width.
        synthetic: whether they were drawn.
    """

    folder: Path
    images: tuple[str, ...]
    size: tuple[int, int]
    synthetic: bool


@dataclass(frozen=True)
class PretrainedNetwork:
    """A finished network that another one starts from, and everything that it learned from."""

    member: Member
    sources: tuple[TrainingSource, ...]

    @property
    def weights_hash(self) -> str:
        return self.member.weights_hash()

    def record(self, data: TrainingSet, fold: int) -> Pretrained:
        """What ``config.json`` keeps of it, after the pictures are compared.

        Raises:
            InputError: if it learned from a near-duplicate of a strip that the fold validates on.
        """
        return Pretrained(
            folds=str(self.member.paths.folds),
            fold=self.member.fold,
            weights=self.weights_hash,
            synthetic=any(source.synthetic for source in self.sources),
            compared=self._compare_pictures(data, fold),
        )

    def _compare_pictures(self, data: TrainingSet, fold: int) -> Literal["pictures", "names"]:
        """Compare the validation strips with all real sources; ``names`` where the strips of one are gone."""
        real = [source for source in self.sources if not source.synthetic]
        if not real:
            return "pictures"  # drawn strips are no pictures of real ones
        held_out, workers = data.images(fold, held_out=True), core_count()
        size = (data.height, data.width)
        own = near_duplicates.read_thumbnails(data.paths.train_images, held_out, *size, workers)
        compared: Literal["pictures", "names"] = "pictures"
        for source in real:
            if not all((source.folder / image).exists() for image in source.images):
                logger.warning("%s: strips are gone, so only file names were compared", source.folder)
                compared = "names"
                continue
            images = list(source.images)
            others = near_duplicates.read_thumbnails(source.folder, images, *source.size, workers)
            found = near_duplicates.has_near_duplicate(own, others)
            if found.any():
                raise InputError(
                    f"--from {self.member.paths.folds}: fold {fold} validates on {held_out[int(found.argmax())]}, and "
                    f"{self.member.name} there learned from a near-duplicate of it in {source.folder}: its score would "
                    f"be too good ({int(found.sum())} strips). Leave these strips out of one of the two, or train "
                    "without --from"
                )
        return compared


def find(folder: Path, encoder: str, fold: int, held_out: list[str]) -> PretrainedNetwork:
    """The network of another experiment that a fold may start from: the same fold's, or else the first that fits.

    Args:
        folder: the folds of the other experiment.
        held_out: the strips that the fold validates on.

    Raises:
        InputError: if the folder holds no trained network of this encoder, or if each of them learned from a strip that
            this fold validates on.
    """
    paths = Paths(folds=folder)
    folds = [file.parent for file in folder.glob("*/*/weights.safetensors") if file.parent.name.isdecimal()]
    known = sorted(int(path.name) for path in folds if path.parent.name == encoder)
    if not known:
        others = sorted({path.parent.name for path in folds})
        has = f"it has networks of {', '.join(others)}" if others else "it has no trained network"
        raise InputError(f"--from {folder}: there is no trained {encoder}; {has}")
    first_shared: list[str] = []
    for number in sorted(known, key=lambda number: (number != fold, number)):
        member = Member(paths, encoder, number)
        sources = tuple(_training_sources(member))
        learned = {image for source in sources for image in source.images}
        shared = sorted(learned.intersection(held_out))
        if not shared:
            return PretrainedNetwork(member, sources)
        first_shared = first_shared or shared
    raise InputError(
        f"--from {folder}: fold {fold} validates on {first_shared[0]}, which {encoder} there learned from (it shares "
        f"{len(first_shared)} of {len(held_out)} strips): its score would be too good. Give both experiments the same "
        "folds.csv, or train without --from"
    )


def _training_sources(member: Member) -> list[TrainingSource]:
    """What a network learned from, and what those learned from that it started from.

    Raises:
        InputError: if one of them is missing, or its split is not the one that it was trained with.
    """
    config, folds_csv = member.config(), member.paths.folds_csv
    frame = split.read(member.paths)
    if not config.train_images or config.split != file_hash(folds_csv):
        raise InputError(
            f"{folds_csv} is not the split that {member.name} was trained with, so what it learned from is not known: "
            f"restore it, or delete {member.files.folder} and train it again"
        )
    images = frame["ImageId"][frame["fold"] != member.fold]
    size = (config.height, config.width)
    sources = [TrainingSource(Path(config.train_images), tuple(images), size, config.synthetic)]
    if config.recipe.pseudo_labels != NO_PSEUDO_LABELS:
        paths, remake = PseudoPaths(Path(config.recipe.pseudo_labels)), command(member.paths, "pseudo")
        sources.append(_pseudo_labelled(paths, member.fold, size, remake))
        table = paths.labels(member.fold)
        if config.pseudo_labels and config.pseudo_labels != file_hash(table):
            raise InputError(
                f"{table} was replaced since {member.name} of {member.paths.folds} learned from it: what that one "
                "learned is not known. Restore it, or train that one again"
            )
    if config.pretrained:
        earlier = Member(Paths(folds=Path(config.pretrained.folds)), member.encoder, config.pretrained.fold)
        if earlier.weights_hash() != config.pretrained.weights:
            raise InputError(
                f"{member.name} of {member.paths.folds} started from {earlier.files.weights}, which was replaced "
                "since: what it learned from is not known. Train it again"
            )
        sources += _training_sources(earlier)
    return sources


def _pseudo_labelled(paths: PseudoPaths, fold: int, size: tuple[int, int], remake: str) -> TrainingSource:
    folder = Path(pseudo_labels.read_record(paths, remake).images)
    return TrainingSource(folder, tuple(pd.read_csv(paths.labels(fold))["ImageId"].unique()), size, synthetic=False)
