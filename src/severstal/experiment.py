"""One trained network of the ensemble: an encoder and a fold, rebuilt from its folder alone."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from severstal.artifacts import file_hash, fingerprint, read_json, read_model
from severstal.commands import command
from severstal.errors import InputError, did_you_mean
from severstal.paths import FoldPaths, Paths
from severstal.recipe import NO_PSEUDO_LABELS, Recipe
from severstal.run_lock import run_lock

CONFIG_VERSION: Literal[2] = 2  # raise it when values get other names or another meaning
VERSIONS = ("torch", "timm", "segmentation-models-pytorch", "albumentations", "numpy")

# Values that shape what is made from the weights, or only how fast.
NOT_OF_WEIGHTS = (
    *("name", "tta", "num_workers", "eval_batch_size", "pseudo_labels", "from_folds"),
    *("synthetic_variety", "synthetic_strips", "postprocess"),
)


class Pretrained(BaseModel):
    """The trained network that a fold started from.

    Attributes:
        folds: folder of its experiment.
        fold: its fold.
        weights: hash of its weights.
        synthetic: whether it, or a network that it started from, learned from synthetic steel.
        compared: how it was checked that it learned from no strip that the fold validates on: by pictures, or by file
            names alone where its strips were gone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    folds: str
    fold: int
    weights: str
    synthetic: bool
    compared: Literal["pictures", "names"]


class FoldConfig(BaseModel):
    """What a fold was trained with; ``config.json`` in its folder."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[2] = CONFIG_VERSION
    encoder: str
    fold: int
    recipe: Recipe
    data: str
    synthetic: bool
    height: int
    width: int
    mean: float
    std: float
    versions: dict[str, str]
    initial_weights: dict[str, Any] | None = None  # what the encoder started from; None: random weights
    train_images: str = ""  # the folder of the strips; empty in folds of earlier versions
    split: str = ""  # hash of folds.csv
    pseudo_labels: str = ""  # hash of the fold's table of them; empty without any, and in folds of earlier versions
    pretrained: Pretrained | None = None
    training: str = ""  # the fingerprint when training began; empty in folds of earlier versions

    @property
    def fingerprint(self) -> str:
        """What ties weights and checkpoints to this configuration, whatever defaults the code has now."""
        return self.training or training_fingerprint(self.encoder, self.fold, self.recipe, self.data)

    @property
    def synthetic_origin(self) -> str:
        """How synthetic steel taught this network, in words; empty where none did."""
        if self.synthetic:
            return "trained on synthetic steel"
        return "first trained on synthetic steel" if self.pretrained and self.pretrained.synthetic else ""


@dataclass(frozen=True)
class Member:
    """An encoder and a fold of an experiment."""

    paths: Paths
    encoder: str
    fold: int

    @property
    def files(self) -> FoldPaths:
        return self.paths.fold(self.encoder, self.fold)

    @property
    def name(self) -> str:
        return f"{self.encoder} fold {self.fold}"

    @property
    def remake(self) -> str:
        """The command that trains it."""
        return command(self.paths, "train", self.encoder, self.fold)

    @property
    def export_command(self) -> str:
        return command(self.paths, "export", self.encoder, self.fold)

    def config(self) -> FoldConfig:
        """The fold's configuration.

        Raises:
            InputError: if the file is missing, damaged, or written by another version.
        """
        if read_json(self.files.config, self.remake).get("version") != CONFIG_VERSION:
            raise InputError(
                f"{self.files.config} was written by another version of this project, whose values have other names: "
                f"delete {self.files.folder} and run `{self.remake}`"
            )
        return read_model(self.files.config, FoldConfig, self.remake)

    def weights_hash(self) -> str:
        """Hash of the weights' file: what every later file of the fold is tied to."""
        if not self.files.weights.exists():
            raise InputError(f"{self.files.weights} is missing: make it with `{self.remake}`")
        return file_hash(self.files.weights)


def training_values(recipe: Recipe) -> dict[str, Any]:
    """The values that shape the weights, as JSON has them.

    Values at their default are left out, so that a value which a later version adds leaves finished folds finished.
    Pseudo-labels and the networks of ``from_folds`` count by their content, which is part of the data's fingerprint,
    not by their folder.
    """
    unused = set(NOT_OF_WEIGHTS)
    if recipe.pseudo_labels == NO_PSEUDO_LABELS:
        unused.add("pseudo_label_share")
    return recipe.model_dump(mode="json", exclude_defaults=True, exclude=unused)


def training_fingerprint(encoder: str, fold: int, recipe: Recipe, data: str) -> str:
    """Equal where training gives the same weights, as far as the configuration and the data decide."""
    return fingerprint(encoder, fold, training_values(recipe), data)


def all_members(paths: Paths, recipe: Recipe) -> list[Member]:
    """Every member that the recipe asks for, trained or not."""
    return [Member(paths, encoder, fold) for encoder in recipe.encoders for fold in range(recipe.num_folds)]


def synthetic_origin(members: Sequence[Member]) -> str:
    """How synthetic steel taught the networks of an ensemble, in words; empty where it taught none of them."""
    # Of unlike members the words with the closest tie to synthetic steel count, which are the last by the alphabet.
    return max(member.config().synthetic_origin for member in members)


def experiment_lock(paths: Paths, members: Sequence[Member] = ()) -> AbstractContextManager[None]:
    """Keep other runs from writing into an experiment, or only into these networks of it.

    Raises:
        InputError: if another run writes there, with its process and start time.
    """
    units = [f"{member.encoder}-{member.fold}" for member in members]
    leftovers = [member.files.folder for member in members] or paths.written_folders()
    return run_lock(paths.folds, units, leftovers)


def select_members(paths: Paths, chosen: Recipe, encoder: str | None, fold: int | None) -> list[Member]:
    """The members of an encoder, of a fold, or of one of both; all of them where neither is given.

    Raises:
        InputError: for an encoder that is not in the recipe, or a fold that is not in the split.
    """
    if encoder is not None and encoder not in chosen.encoders:
        near = did_you_mean(encoder, chosen.encoders)
        raise InputError(
            f"{encoder} is not in this experiment's recipe ({', '.join(chosen.encoders)}){near}: add it with "
            f"`{command(paths, 'make_folds', '--encoders', ','.join([*chosen.encoders, encoder]))}`"
        )
    if fold is not None and not 0 <= fold < chosen.num_folds:
        raise InputError(f"there is no fold {fold}: folds.csv has 0 to {chosen.num_folds - 1}")
    members = all_members(paths, chosen)
    return [m for m in members if encoder in (None, m.encoder) and fold in (None, m.fold)]


def current_versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape the weights."""
    return {"python": platform.python_version()} | {name: version(name) for name in VERSIONS}
