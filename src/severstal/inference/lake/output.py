"""The files of a result, and the ensemble that it belongs to.

``_ENSEMBLE.json`` says which networks, values and engine predict; ``_manifest/`` which images each shard holds;
``shard-<number>.parquet`` is a shard's table; ``_SUMMARY.json`` is written at the end of a run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from severstal.artifacts import changes, fingerprint
from severstal.errors import InputError
from severstal.inference.lake.manifest import Manifest
from severstal.inference.lake.shards import READERS, Counts
from severstal.inference.lake.storage import LOCAL, Location
from severstal.run_lock import run_lock

SHARD = re.compile(r"shard-(\d{8})\.parquet")
TABLE_VERSION = 2  # raise it when the same ensemble gives other rows


@dataclass(frozen=True)
class Output:
    """A result in a folder or under a prefix."""

    folder: Location

    @property
    def ensemble(self) -> Location:
        return self.folder / "_ENSEMBLE.json"

    @property
    def summary(self) -> Location:
        return self.folder / "_SUMMARY.json"

    @property
    def manifest(self) -> Manifest:
        return Manifest(self.folder / "_manifest")

    def shard(self, number: int) -> Location:
        return self.folder / f"shard-{number:08d}.parquet"

    def finished(self) -> set[int]:
        """Numbers of the shards whose table is written."""
        found = (SHARD.fullmatch(entry.base_name) for entry in self.folder.entries())
        return {int(match[1]) for match in found if match}

    def reserve(self, identity: dict[str, Any]) -> str:
        """The version of an ensemble, which the result belongs to from now on.

        Args:
            identity: what decides the masks, see :func:`severstal.inference.members.identity`.

        Raises:
            InputError: if the result belongs to another ensemble.
        """
        identity = identity | {"table": TABLE_VERSION}
        if not self.ensemble.exists():
            self.write_json(self.ensemble, {"version": fingerprint(identity), "identity": identity})
            return fingerprint(identity)
        known = self.read_json(self.ensemble)
        if known["version"] != fingerprint(identity):
            differences = "; ".join(changes(known["identity"], identity))
            raise InputError(
                f"{self.folder} holds the result of another ensemble ({differences}): choose another --output, or "
                "delete that result"
            )
        return str(known["version"])

    def counts(self) -> Counts:
        """What all finished shards hold, from the metadata of their files."""
        total = Counts()
        with ThreadPoolExecutor(READERS) as pool:
            for counts in pool.map(Counts.of_file, map(self.shard, sorted(self.finished()))):
                total += counts
        return total

    def read_json(self, file: Location) -> dict[str, Any]:
        """The object in a JSON file.

        Raises:
            InputError: if it is missing or damaged.
        """
        try:
            value: dict[str, Any] = json.loads(file.read())
        except ValueError as error:
            raise InputError(f"{file} is no valid JSON ({error}): choose another --output") from None
        return value

    def write_json(self, file: Location, value: dict[str, Any]) -> None:
        file.write((json.dumps(value, indent=2) + "\n").encode())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs from this result. Object stores have no locks: there it is the user who starts one at a time.

        Raises:
            InputError: if another run writes this result.
        """
        if self.folder.scheme != LOCAL:
            yield
            return
        with run_lock(Path(self.folder.path), leftovers=[Path(self.manifest.folder.path)]):
            yield
