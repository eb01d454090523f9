"""One trained network of the ensemble: an encoder and a fold, rebuilt from its folder alone."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict

from severstal.artifacts import file_hash, fingerprint, read_json
from severstal.errors import InputError
from severstal.paths import FoldPaths, Paths
from severstal.recipe import NO_PSEUDO_LABELS, Recipe

VERSIONS = ("torch", "timm", "segmentation-models-pytorch", "albumentations", "numpy")


class FoldConfig(BaseModel):
    """What a fold was trained with; ``config.json`` in its folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str
    fold: int
    recipe: Recipe
    overrides: dict[str, Any]
    data: str
    synthetic: bool
    height: int
    width: int
    mean: float
    std: float
    versions: dict[str, str]

    @property
    def fingerprint(self) -> str:
        return training_fingerprint(self.encoder, self.fold, self.recipe, self.data)


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
        return f"bash bin/train.sh {self.encoder} {self.fold}"

    def config(self) -> FoldConfig:
        """The fold's configuration.

        Raises:
            InputError: if the file is missing or is not what training writes.
        """
        raw = read_json(self.files.config, self.remake)
        try:
            return FoldConfig.model_validate(raw)
        except ValueError as error:
            raise InputError(
                f"{self.files.config} is no configuration of this version ({str(error).splitlines()[0]}): delete "
                f"{self.files.folder} and run `{self.remake}`"
            ) from None

    def weights_hash(self) -> str:
        """Hash of the weights' file: what every later file of the fold is tied to."""
        if not self.files.weights.exists():
            raise InputError(f"{self.files.weights} is missing: make it with `{self.remake}`")
        return file_hash(self.files.weights)


def training_fingerprint(encoder: str, fold: int, recipe: Recipe, data: str) -> str:
    """Equal where training would give the same weights, as far as the configuration goes.

    Flips only shape what is made from the weights; how many processes load the data shapes nothing. Pseudo-labels
    count by what they are, which is part of ``data``, not by where they lie. Values at their default do not count, so
    that a value which a later version brings leaves finished folds finished.
    """
    unused = {"name", "tta", "num_workers", "eval_batch_size", "pseudo_labels"}
    if recipe.pseudo_labels == NO_PSEUDO_LABELS:
        unused.add("pseudo_label_share")
    values = recipe.model_dump(mode="json", exclude_defaults=True, exclude=unused)
    return fingerprint(encoder, fold, values, data)


def all_members(paths: Paths, recipe: Recipe) -> list[Member]:
    """Every member that the recipe asks for, trained or not."""
    return [Member(paths, encoder, fold) for encoder in recipe.encoders for fold in range(recipe.num_folds)]


def select(known: list[Member], chosen: Recipe, encoder: str | None, fold: int | None) -> list[Member]:
    """The members asked for.

    Raises:
        InputError: for an encoder that is not in the recipe, or a fold that is not in the split.
    """
    if encoder is not None and encoder not in chosen.encoders:
        from severstal.models.encoders import check_encoder

        check_encoder(encoder)
        raise InputError(
            f"{encoder} is not in this experiment's recipe ({', '.join(chosen.encoders)}): add it with "
            f"`bash bin/make_folds.sh --encoders {','.join([*chosen.encoders, encoder])}`"
        )
    if fold is not None and not 0 <= fold < chosen.num_folds:
        raise InputError(f"there is no fold {fold}: folds.csv has 0 to {chosen.num_folds - 1}")
    return [m for m in known if encoder in (None, m.encoder) and fold in (None, m.fold)]


def current_versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape the weights."""
    return {"python": platform.python_version()} | {name: version(name) for name in VERSIONS}
