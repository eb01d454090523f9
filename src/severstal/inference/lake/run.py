"""One run of prediction over a source: shards that are not finished are predicted by the workers of a Ray cluster.

The driver holds the numbers of the shards, never an image or a row. It may be killed at any time: a shard's table is
written once, under its final name, and the next run predicts the shards that have none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from severstal.engines import catalog
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.inference.lake.cluster import Resources
from severstal.inference.lake.manifest import Shard
from severstal.inference.lake.output import Output
from severstal.inference.lake.pipeline import Report, predict_shards
from severstal.inference.lake.progress import Progress
from severstal.inference.lake.sources import images_of
from severstal.inference.lake.storage import Location
from severstal.inference.lake.worker import EnsembleFiles
from severstal.inference.members import identity, ready_members
from severstal.paths import Paths
from severstal.postprocess import tuned_values

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LakeRun:
    """What is predicted, with which networks, and where the result is written.

    Attributes:
        members: every network of the tuned ensemble.
        version: of the ensemble.
        engine: its name.
    """

    paths: Paths
    source: Location
    output: Output
    members: list[Member]
    version: str
    engine: str
    address: str | None = None
    resources: Resources = field(default_factory=Resources)

    @classmethod
    def of(
        cls, paths: Paths, source: str, output: str, engine: str, address: str | None, resources: Resources
    ) -> LakeRun:
        """Find the networks and reserve the result for them.

        Args:
            engine: of the workers; ``auto`` is that of this machine.

        Raises:
            InputError: if a network is missing or does not fit the tuned values, a location is none, or the result
                belongs to another ensemble.
        """
        tuned = tuned_values.read(paths)
        if address is None or engine == "auto":
            engine = catalog.choose(engine)
        catalog.engine_class(engine)  # the machines of a cluster may have what this one lacks: only the name is checked
        members = ready_members(paths, tuned, engine)
        found = Output(Location.parse(output))
        source_location = Location.parse(source)
        if not source_location.exists():
            raise InputError(f"{source_location} is missing: name a folder of images, or a file that lists them")
        version = found.reserve(identity(members, tuned, engine))
        return cls(paths, source_location, found, members, version, engine, address, resources)

    def plan(self, shard_size: int) -> list[Shard]:
        """Add the source's new images to the manifest; returns the shards that are not finished.

        Raises:
            InputError: if there is no image at all, or the storage refuses to list them.
        """
        added = self.output.manifest.add(images_of(self.source), shard_size)
        shards, finished = self.output.manifest.shards(), self.output.finished()
        if not shards:
            raise InputError(f"{self.source} holds no images: name a folder or a list of JPEG, PNG, BMP or TIFF files")
        logger.info(
            "%s images, %s of them new; %d of %d shards are finished",
            f"{sum(shard.size for shard in shards):,}", f"{added:,}", len(finished), len(shards),
        )  # fmt: skip
        return [shard for shard in shards if shard.number not in finished]

    def predict(self, shards: list[Shard]) -> None:
        """Predict shards and write the summary.

        Raises:
            InputError: if the storage refuses images or tables; all other shards are finished first.
        """
        errors = []
        with Progress(sum(shard.size for shard in shards)) as progress:
            for counts, error in self._predict_all(shards) if shards else ():
                errors += [error] if error else []
                progress.add(counts.images)
        if errors:
            raise InputError(f"{len(errors)} of {len(shards)} shards are not finished, the first because {errors[0]}")
        self._write_summary(progress.count, progress.seconds)

    def summary(self) -> dict[str, Any]:
        """The summary of the last complete run."""
        return self.output.read_json(self.output.summary)

    def _predict_all(self, shards: list[Shard]) -> Iterator[Report]:
        """Counts and error of each shard as it ends."""
        settings = {
            "engine": self.engine,
            "output": str(self.output.folder),
            "version": self.version,
            "threads": self.resources.cpus,
        }
        here = self.address is None
        ensemble = str(self.paths.folds) if here else EnsembleFiles.read(self.paths, self.members)
        return predict_shards(self.address, shards, ensemble, settings, self.resources)

    def _write_summary(self, images: int, seconds: float) -> None:
        counts = self.output.counts()
        self.output.write_json(
            self.output.summary,
            asdict(counts)
            | {
                "with_class": {str(defect): count for defect, count in enumerate(counts.with_class, start=1)},
                "predicted_in_last_run": images,
                "images_per_second": round(images / seconds, 2),
                "engine": self.engine,
                "ensemble": self.version,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )
