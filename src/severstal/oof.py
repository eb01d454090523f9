"""Out-of-fold probabilities of one fold: an ``.npz`` of one ``uint8 [4, H, W]`` per validation strip.

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

from severstal.errors import InputError

META = "meta.json"
DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError)  # what zipfile and NumPy raise


def write(path: Path, maps: Iterable[tuple[str, np.ndarray]], meta: dict[str, Any]) -> int:
    """Write strips one by one as they are predicted; returns their number. Write under a temporary name."""
    count = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for image, probability in maps:
            with archive.open(f"{image}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(probability))
            count += 1
        archive.writestr(META, json.dumps(meta))
    return count


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
        except FileNotFoundError:
            raise InputError(f"{path} is missing: make it with `{remake}`") from None
        except (KeyError, *DAMAGED) as error:
            raise InputError(f"{path} is damaged ({error}): delete it and run `{remake}`") from None
        names = [name for name in self._archive.namelist() if name != META]
        if len(names) != len(set(names)):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path} holds {twice} twice: delete it and run `{remake}`")
        self.images = [name.removesuffix(".npy") for name in names]

    def __getitem__(self, image: str) -> np.ndarray:
        try:
            # The whole member first: zipfile compares its checksum at the end, and only then is it looked at.
            return np.lib.format.read_array(io.BytesIO(self._archive.read(f"{image}.npy")))
        except KeyError:
            raise InputError(f"{self.path} lacks {image}: delete it and run `{self._remake}`") from None
        except DAMAGED as error:
            raise InputError(f"{self.path}, {image}: {error}; delete the file and run `{self._remake}`") from None
