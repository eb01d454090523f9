"""What runs in the processes of a Ray cluster: a worker loads the ensemble once and then predicts shard after shard."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from severstal.experiment import Member
from severstal.paths import Paths

ENGINE_FILES = "model*"  # in a member's folder


@dataclass(frozen=True)
class EnsembleFiles:
    """The files of an ensemble, to be sent to machines that do not share a disk.

    Attributes:
        content: of each file, by its path in the folds folder.
    """

    content: dict[str, bytes]

    @classmethod
    def read(cls, paths: Paths, members: Sequence[Member]) -> EnsembleFiles:
        files = [paths.recipe, paths.postprocess]
        for member in members:
            files += [member.files.config, member.files.weights, *member.files.folder.glob(ENGINE_FILES)]
        return cls({str(file.relative_to(paths.folds)): file.read_bytes() for file in files})

    def write(self, folder: Path) -> None:
        for name, content in self.content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


class ShardWorker:
    """Predicts shards; Ray Data makes one per process, and another one where a process dies."""

    def __init__(self, ensemble: Any, engine: str, output: str, version: str, threads: int) -> None:
        """Load the ensemble.

        Args:
            ensemble: the folds folder, or Ray's reference to :class:`EnsembleFiles`.
            output: location of the result.
            version: of the ensemble.
            threads: that a network computes with.
        """
        os.environ["OMP_NUM_THREADS"] = str(threads)  # before the engines' libraries are imported, which read it
        from severstal.console import set_up_logging
        from severstal.errors import InputError
        from severstal.inference.lake.output import Output
        from severstal.inference.lake.storage import Location
        from severstal.inference.predictor import Predictor

        set_up_logging()
        self._copy = tempfile.TemporaryDirectory(prefix="severstal-")
        folder = Path(ensemble) if isinstance(ensemble, str) else Path(self._copy.name)
        if not isinstance(ensemble, str):
            import ray

            ray.get(ensemble).write(folder)
        self._output, self._version, self._failure = Output(Location.parse(output)), version, ""
        try:
            self._predictor = Predictor(folder, engine)
        except InputError as error:  # Ray would start this worker again and again
            self._failure = str(error)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        """Predict the one shard of a batch and write its table.

        Args:
            batch: the fields of a :class:`severstal.inference.lake.manifest.Shard`, its file as text.

        Returns:
            Its counts as JSON, and why it could not be finished; empty where its table is written.
        """
        from severstal.errors import InputError
        from severstal.inference.lake.manifest import Shard
        from severstal.inference.lake.shards import Counts, predict_shard
        from severstal.inference.lake.storage import Location

        number, row_group, size = (int(batch[name][0]) for name in ("number", "row_group", "size"))
        shard = Shard(number, Location.parse(str(batch["file"][0])), row_group, size)
        counts, error = Counts(), ""
        try:
            if self._failure:
                raise InputError(self._failure)
            content, counts = predict_shard(self._predictor, shard.images(), self._version)
            self._output.shard(shard.number).write(content)
        except InputError as reason:
            error = str(reason)
        return {"counts": [json.dumps(asdict(counts))], "error": [error]}
