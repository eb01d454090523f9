"""Out-of-fold answers: for each fold an ``.npz`` of a map ``uint8 [4, H, W]`` per validation strip, and presences.

Maps are mostly zeros, so deflate at its quickest level shrinks them some fifty-fold; a member is read without
the others, and ``numpy.load`` opens the file too. The archive's index comes last: a file cut short is refused.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from severstal.data.labels import CLASSES
from severstal.data.rle import decode
from severstal.data.training_set import TrainingSet
from severstal.errors import InputError
from severstal.experiment import Member

META, CLASS_PROBABILITY = "meta.json", "class_probability.npy"
FORM = 2  # of the archive: files of an earlier form are made anew from their weights
DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError)  # what zipfile and NumPy raise


def write(path: Path, answers: Iterable[tuple[str, np.ndarray, np.ndarray]], meta: dict[str, Any]) -> int:
    """Write strips one by one as they are predicted; returns their number. Write under a temporary name.

    Args:
        answers: image, ``uint8 [4, H, W]`` map and ``uint8 [4]`` presences of each strip.
    """
    class_probabilities = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for image, probability, class_probability in answers:
            _add(archive, f"{image}.npy", probability)
            class_probabilities.append(class_probability)
        _add(archive, CLASS_PROBABILITY, np.array(class_probabilities, dtype=np.uint8).reshape(-1, len(CLASSES)))
        archive.writestr(META, json.dumps(meta))
    return len(class_probabilities)


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(name, "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.ascontiguousarray(array))


def read_meta(path: Path, remake: str) -> dict[str, Any]:
    """What the maps were made from.

    Raises:
        InputError: if the file is cut short.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(META))
    except (KeyError, *DAMAGED) as error:
        raise InputError(f"{path} is damaged ({error}): delete it and run `{remake}`") from None


class Store:
    """A fold's maps: ``store[image]`` is ``uint8 [4, H, W]``, ``store.meta`` what they were made from."""

    def __init__(self, path: Path, remake: str) -> None:
        """Open a store.

        Raises:
            InputError: if it is missing or cut short, naming ``remake``, the command that makes it again.
        """
        self.path, self._remake = path, remake
        try:
            self._archive = zipfile.ZipFile(path)
            self.meta = json.loads(self._archive.read(META))
            class_probabilities = _array(self._archive, CLASS_PROBABILITY)
        except FileNotFoundError:
            raise InputError(f"{path} is missing: make it with `{remake}`") from None
        except (KeyError, *DAMAGED) as error:
            raise InputError(f"{path} is damaged ({error}): delete it and run `{remake}`") from None
        names = [name for name in self._archive.namelist() if name not in (META, CLASS_PROBABILITY)]
        if len(names) != len(set(names)):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path} holds {twice} twice: delete it and run `{remake}`")
        self.images = [name.removesuffix(".npy") for name in names]
        if len(class_probabilities) != len(names):
            raise InputError(
                f"{path} is damaged (presences of {len(class_probabilities)} strips): delete it and run `{remake}`"
            )
        self._presences = dict(zip(self.images, class_probabilities, strict=True))

    def class_probability(self, image: str) -> np.ndarray:
        """``uint8 [4]``: how surely the strip has each class at all."""
        return self._presences[image]

    def __getitem__(self, image: str) -> np.ndarray:
        try:
            return _array(self._archive, f"{image}.npy")
        except KeyError:
            raise InputError(f"{self.path} lacks {image}: delete it and run `{self._remake}`") from None
        except DAMAGED as error:
            raise InputError(f"{self.path}, {image}: {error}; delete the file and run `{self._remake}`") from None


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    # The whole member first: zipfile compares its checksum at the end, and only then is it looked at.
    return np.lib.format.read_array(io.BytesIO(archive.read(name)))


class OutOfFold:
    """The maps of a whole ensemble with their truth: what tuning chooses from."""

    def __init__(self, data: TrainingSet, members: list[Member]) -> None:
        """Open every member's store.

        Raises:
            InputError: if one does not hold exactly its fold's strips, or is not of the weights and flips beside it.
        """
        self.encoders = list(dict.fromkeys(member.encoder for member in members))
        self.folds = [data.images(fold, held_out=True) for fold in sorted({member.fold for member in members})]
        self.height, self.width = data.height, data.width
        self.has_heads = all(member.config().recipe.classifier_loss_weight > 0 for member in members)
        self._labels = data.labels
        self.stores = {(member.encoder, member.fold): _checked(member, self.folds[member.fold]) for member in members}

    def maps(self, fold: int, image: str) -> list[np.ndarray]:
        """Each encoder's ``uint8 [4, H, W]`` of a strip, by the network that was not trained on it."""
        return [self.stores[encoder, fold][image] for encoder in self.encoders]

    def class_probabilities(self, fold: int, image: str) -> list[np.ndarray]:
        """Each encoder's ``uint8 [4]`` of a strip, likewise."""
        return [self.stores[encoder, fold].class_probability(image) for encoder in self.encoders]

    def truth(self, image: str) -> dict[int, np.ndarray]:
        """Bool ``[H, W]`` of each class that occurs on the strip."""
        return {defect: decode(code, self.height, self.width) for defect, code in self._labels[image].items()}


def _checked(member: Member, expected: list[str]) -> Store:
    store = Store(member.files.oof, member.remake)
    if sorted(store.images) != sorted(expected):
        differing = sorted(set(store.images) ^ set(expected))[0]
        raise InputError(f"{store.path} and fold {member.fold} differ in {differing}: delete it, run `{member.remake}`")
    if store.meta.get("weights") != member.weights_hash():
        raise InputError(f"{store.path} is not of the weights beside it: delete it and run `{member.remake}`")
    if store.meta.get("tta") != list(member.config().recipe.tta):
        raise InputError(
            f"{store.path} was made with other flips than {member.files.config} asks for: delete it "
            f"and run `{member.remake}`"
        )
    return store
