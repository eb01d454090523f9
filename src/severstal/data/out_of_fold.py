"""Out-of-fold predictions: each network's maps and class probabilities of the strips that its fold validates on.

A fold's ``oof.npz`` holds a map ``uint8 [4, H, W]`` per strip and one table of class probabilities. Maps are mostly
zeros, so deflate at its fastest level makes them about fifty times smaller; a map is read without the others, and
``numpy.load`` opens the file too. The archive's index is at its end, so a truncated file is refused.
"""

from __future__ import annotations

import errno
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
FORMAT = 2  # of the archive: a file of an earlier format is written again from the weights
DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError)  # raised by zipfile and NumPy


def write(path: Path, predictions: Iterable[tuple[str, np.ndarray, np.ndarray]], meta: dict[str, Any]) -> int:
    """Write strips one by one as they are predicted; returns their number.

    Args:
        path: a temporary path (see :func:`severstal.artifacts.replacing`): the file is complete at the end only.
        predictions: name, map ``uint8 [4, H, W]`` and class probabilities ``uint8 [4]`` of each strip.
        meta: what the predictions are made from.
    """
    class_probabilities = []
    with zipfile.ZipFile(path, "w") as archive:
        for image, probability, class_probability in predictions:
            _add(archive, f"{image}.npy", probability)
            # Numbers, not the array: a small piece of the network's output that stays keeps the heap around it from
            # being used again, which took 2.3 MiB more per strip.
            class_probabilities.append(class_probability.tolist())
        _add(archive, CLASS_PROBABILITY, np.array(class_probabilities, dtype=np.uint8).reshape(-1, len(CLASSES)))
        _add_bytes(archive, META, json.dumps(meta))
    return len(class_probabilities)


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    data = io.BytesIO()
    np.lib.format.write_array(data, np.ascontiguousarray(array))
    _add_bytes(archive, name, data.getvalue())


def _add_bytes(archive: zipfile.ZipFile, name: str, data: bytes | str) -> None:
    """Add an entry without a time: equal maps give equal files, also where the clock stands before 1980."""
    archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, compresslevel=1)


def read_meta(path: Path, remake: str) -> dict[str, Any]:
    """What the predictions were made from.

    Raises:
        InputError: if the file is missing or damaged, naming ``remake``, the command that writes it.
    """
    with _open(path, remake) as archive:
        return _read_meta(archive, path, remake)


class FoldMaps:
    """The predictions of one network: ``maps[image]`` is ``uint8 [4, H, W]``.

    Attributes:
        meta: what the predictions were made from.
        images: names of the strips.
    """

    def __init__(self, path: Path, remake: str) -> None:
        """Open the archive; a map is read when it is asked for.

        Raises:
            InputError: if the file is missing or damaged, naming ``remake``, the command that writes it.
        """
        self.path, self._remake = path, remake
        self._archive = _open(path, remake)
        self.meta = _read_meta(self._archive, path, remake)
        names = [name for name in self._archive.namelist() if name not in (META, CLASS_PROBABILITY)]
        if len(names) != len(set(names)):
            repeated = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path} holds {repeated} twice: delete it and run `{remake}`")
        self.images = [name.removesuffix(".npy") for name in names]
        self._class_probabilities = dict(zip(self.images, self._read_class_probabilities(), strict=True))

    def class_probability(self, image: str) -> np.ndarray:
        """The probability (of 255) that the strip shows each class at all, ``uint8 [4]``."""
        return self._class_probabilities[image]

    def __getitem__(self, image: str) -> np.ndarray:
        try:
            return _array(self._archive, f"{image}.npy")
        except KeyError:
            raise InputError(f"{self.path} lacks {image}: delete it and run `{self._remake}`") from None
        except DAMAGED as error:
            raise InputError(f"{self.path}, {image}: {error}; delete the file and run `{self._remake}`") from None

    def _read_class_probabilities(self) -> np.ndarray:
        try:
            rows = _array(self._archive, CLASS_PROBABILITY)
        except (KeyError, *DAMAGED) as error:
            raise _damaged(self.path, error, self._remake) from None
        if len(rows) != len(self.images):
            reason = f"class probabilities of {len(rows)} strips, maps of {len(self.images)}"
            raise _damaged(self.path, reason, self._remake)
        return rows


def _open(path: Path, remake: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: make it with `{remake}`") from None
    except DAMAGED as error:
        raise _damaged(path, error, remake) from None


def _read_meta(archive: zipfile.ZipFile, path: Path, remake: str) -> dict[str, Any]:
    try:
        return json.loads(_read(archive, META))
    except (KeyError, *DAMAGED) as error:
        raise _damaged(path, error, remake) from None


def _damaged(path: Path, reason: object, remake: str) -> InputError:
    return InputError(f"{path} is damaged ({reason}): delete it and run `{remake}`")


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    # All bytes are read before NumPy parses them: zipfile compares the checksum at their end.
    return np.lib.format.read_array(io.BytesIO(_read(archive, name)))


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except OSError as error:
        if error.errno == errno.EINVAL:  # the damaged index gives a place before the start of the file
            raise zipfile.BadZipFile(f"its index is damaged: {error.strerror}") from None
        raise


class EnsembleMaps:
    """The out-of-fold predictions of all networks, and the true masks: what post-processing is tuned on.

    Attributes:
        encoders: names of the encoders.
        folds: the strips that each fold validates on.
        fold_maps: each network's predictions by encoder and fold.
        has_heads: whether every network has a classification head.
    """

    def __init__(self, data: TrainingSet, members: list[Member]) -> None:
        """Open every member's predictions.

        Raises:
            InputError: if one does not hold exactly its fold's strips, or was not predicted with the weights and the
                test-time augmentation of its folder.
        """
        self.encoders = list(dict.fromkeys(member.encoder for member in members))
        self.folds = [data.images(fold, held_out=True) for fold in sorted({member.fold for member in members})]
        self.height, self.width = data.height, data.width
        self.has_heads = all(member.config().recipe.classifier_loss_weight > 0 for member in members)
        self._labels = data.labels
        self.fold_maps = {
            (member.encoder, member.fold): _read_checked(member, self.folds[member.fold]) for member in members
        }

    def maps(self, fold: int, image: str) -> list[np.ndarray]:
        """Each encoder's map of a strip, ``uint8 [4, H, W]``, by the network that was not trained on the strip."""
        return [self.fold_maps[encoder, fold][image] for encoder in self.encoders]

    def class_probabilities(self, fold: int, image: str) -> list[np.ndarray]:
        """Each encoder's class probabilities of a strip, ``uint8 [4]``, by the same networks."""
        return [self.fold_maps[encoder, fold].class_probability(image) for encoder in self.encoders]

    def truth(self, image: str) -> dict[int, np.ndarray]:
        """True mask, ``bool [H, W]``, of each class that the strip shows."""
        return {defect: decode(code, self.height, self.width) for defect, code in self._labels[image].items()}


def _read_checked(member: Member, expected: list[str]) -> FoldMaps:
    maps = FoldMaps(member.files.oof, member.remake)
    if sorted(maps.images) != sorted(expected):
        differing = sorted(set(maps.images) ^ set(expected))[0]
        raise InputError(f"{maps.path} and fold {member.fold} differ in {differing}: delete it, run `{member.remake}`")
    if maps.meta.get("weights") != member.weights_hash():
        raise InputError(f"{maps.path} is not of the weights beside it: delete it and run `{member.remake}`")
    if maps.meta.get("tta") != list(member.config().recipe.tta):
        raise InputError(
            f"{maps.path} was predicted with other test-time augmentation than {member.files.config} asks for: delete "
            f"it and run `{member.remake}`"
        )
    return maps
